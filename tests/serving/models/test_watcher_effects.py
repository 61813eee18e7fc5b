"""The watcher loads the newest effect model, where the objective is the added value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving.models.served_models import EFFECTS
from serving.models.watcher import ModelWatcher
from tests.serving.effects.made import made_model, published
from tests.serving.fake_registry import PARAMS


@pytest.fixture
def catalog(toy_catalog):
    return toy_catalog.with_parts(objective="added_value")


@pytest.fixture
def watcher(registry, ledger, toy_domain, catalog):
    return ModelWatcher(registry, ledger, toy_domain, catalog, PARAMS)


def purchases(watcher, row):
    """Return what each action adds to purchases."""
    models = watcher.current
    found = models.predict_effects(row, "app")
    return (
        None if found is None else dict(zip(models.effects.actions, found.purchases, strict=True))
    )


def test_a_new_effect_model_is_found_by_reading_the_ledger_alone(
    watcher, registry, ledger, now, row
):
    watcher.refresh()
    asked = list(registry.read)
    assert watcher.current.versions[EFFECTS] is None and purchases(watcher, row) is None
    assert not watcher.refresh_snapshot()
    first = published(ledger, made_model(discount=0.25, gone=0.5), now)
    assert watcher.refresh_snapshot() and not watcher.refresh_snapshot()
    assert watcher.current.versions[EFFECTS] == str(first)
    assert purchases(watcher, row) == {"call_back": 0.0, "discount": 0.25, "talk_plus": 0.0}
    second = published(ledger, made_model(discount=0.5), now, after=first)
    assert watcher.refresh_snapshot()
    assert watcher.current.versions[EFFECTS] == str(second)
    assert purchases(watcher, row)["discount"] == 0.5
    assert not watcher.refresh(), "it also survives a look at MLflow"
    assert purchases(watcher, row)["discount"] == 0.5
    assert registry.read == asked


def test_the_effects_follow_the_catalogue(watcher, catalog, ledger, now, row):
    published(ledger, made_model(discount=0.25, bonus=0.5), now)
    watcher.refresh()
    more = {"bonus": catalog.actions["discount"], **catalog.actions}
    watcher.follow(catalog.model_copy(update={"actions": more}))
    assert purchases(watcher, row) == {"bonus": 0.5, "discount": 0.25} | dict.fromkeys(
        ("call_back", "talk_plus"), 0.0
    )
    watcher.follow(catalog.with_parts(objective="acceptance"))
    assert purchases(watcher, row) is None and EFFECTS not in watcher.current.versions


def test_a_catalogue_of_acceptances_is_not_degraded_by_distrusted_effects(
    watcher, catalog, ledger, now
):
    published(ledger, replace(made_model(discount=0.25), distrusted=("promotion",)), now)
    watcher.refresh()
    told = [one for one in watcher.current.degraded if one.startswith("effects: ")]
    assert len(told) == 1
    others = [one for one in watcher.current.degraded if one not in told]
    watcher.follow(catalog.with_parts(objective="acceptance"))
    assert [*watcher.current.degraded] == others
    watcher.follow(catalog)
    assert [*watcher.current.degraded] == [*others, *told]


def test_a_catalogue_of_acceptances_reads_no_effects(
    registry, ledger, toy_domain, toy_catalog, now, row
):
    published(ledger, made_model(discount=0.25), now)
    watcher = ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)
    watcher.refresh()
    assert purchases(watcher, row) is None and EFFECTS not in watcher.current.versions


def test_the_effects_of_another_domain_file_do_not_serve(watcher, ledger, now, row):
    number = published(ledger, made_model(discount=0.5), now)
    watcher.refresh()
    assert purchases(watcher, row)["discount"] == 0.5
    other = made_model(("somebody_elses",), discount=0.25)
    number = published(ledger, other, now, after=number)
    assert watcher.refresh_snapshot()
    assert purchases(watcher, row) is None and watcher.current.versions[EFFECTS] is None
    published(ledger, made_model(discount=0.5), now, after=number)
    assert watcher.refresh_snapshot()
    assert purchases(watcher, row)["discount"] == 0.5
