"""The watcher prefers the learner's newest snapshot, and follows a catalogue that changes."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from serving.models.snapshot_publisher import SnapshotPublisher
from serving.models.watcher import ModelWatcher
from tests.bandits import outcomes
from tests.serving.fake_registry import (
    LEARNED,
    PARAMS,
    PRIORS,
    a_bandit,
    accepted,
    former_snapshot,
    publish,
)

FORMER = "The newest snapshot was written by a former program; not served"

# Snapshots -------------------------------------------------------------------------------------


def test_a_snapshot_on_the_champions_base_is_preferred(watcher, registry, ledger, now, row):
    registry.promote("bandit", "7", a_bandit())
    mine = publish(ledger, now, "7", a_bandit(accepted=0.5))
    publish(ledger, now, "6", a_bandit(accepted=0.0))  # newer, but of another champion
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"7.{mine}"
    expected = 0.2 + 0.3 * 1.1 / 2.1
    assert accepted(watcher.current, row)["discount"] == pytest.approx(expected)
    assert watcher.current.bandit.params.min_probability == 0.05


def test_without_a_champion_the_newest_snapshot_serves(watcher, ledger, now, row):
    publish(ledger, now, "prior", a_bandit(accepted=0.0))
    newest = publish(ledger, now, "prior", a_bandit(accepted=1.0))
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"prior.{newest}"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)


def test_a_new_snapshot_is_found_by_reading_the_ledger_alone(watcher, registry, ledger, now, row):
    registry.promote("bandit", "7", a_bandit(accepted=0.0))
    watcher.refresh()
    asked = list(registry.read)
    assert not watcher.refresh_snapshot()
    number = publish(ledger, now, "7", a_bandit(accepted=1.0))
    assert watcher.refresh_snapshot()
    assert not watcher.refresh_snapshot()
    assert watcher.current.versions["bandit"] == f"7.{number}"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)
    assert registry.read == asked


def test_an_incompatible_snapshot_is_reported_once(watcher, ledger, now):
    publish(ledger, now, "prior", a_bandit(features=("somebody_elses",)))
    watcher.refresh()
    for _ in range(3):
        assert not watcher.refresh_snapshot()
    assert [text for text in watcher.current.degraded if "another domain" in text] == [
        "bandit: was trained for another domain file; run 'nba train --promote'"
    ]


def test_a_full_refresh_keeps_the_newest_snapshot(watcher, registry, ledger, now):
    registry.promote("bandit", "7", a_bandit())
    publish(ledger, now, "7", a_bandit())
    watcher.refresh()
    number = publish(ledger, now, "7", a_bandit(accepted=0.5))
    watcher.refresh_snapshot()
    assert not watcher.refresh()
    assert watcher.current.versions["bandit"] == f"7.{number}"


def test_rolling_back_returns_to_the_snapshots_of_the_older_champion(
    watcher, registry, ledger, now
):
    registry.promote("bandit", "6", a_bandit())
    old = publish(ledger, now, "6", a_bandit(accepted=0.5))
    registry.promote("bandit", "7", a_bandit())
    new = publish(ledger, now, "7", a_bandit(accepted=0.6))
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"7.{new}"
    registry.champions["bandit"] = "6"
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"6.{old}"


def test_an_action_that_is_new_in_the_catalogue_does_as_its_prior_says(
    registry, ledger, toy_domain, toy_catalog, now, row
):
    publish(ledger, now, "prior", a_bandit())
    gift = toy_catalog.actions["discount"].model_copy(update={"description": "new"})
    wider = toy_catalog.model_copy(update={"actions": toy_catalog.actions | {"gift": gift}})
    watcher = ModelWatcher(registry, ledger, toy_domain, wider, PARAMS)
    watcher.refresh()
    expected = accepted(watcher.current, row)
    assert expected["gift"] == pytest.approx(0.2)
    assert expected["discount"] == pytest.approx(LEARNED)


def test_a_snapshot_of_a_former_program_is_none_until_the_learner_publishes_a_new_one(
    watcher, ledger, now, row, caplog
):
    former_snapshot(ledger, now, "prior")
    watcher.refresh()
    assert not watcher.refresh_snapshot()
    assert watcher.current.versions["bandit"] is None
    assert accepted(watcher.current, row) == pytest.approx(PRIORS)
    assert caplog.messages.count(FORMER) == 1
    newest = publish(ledger, now, "prior", a_bandit(accepted=1.0))
    assert watcher.refresh_snapshot()
    assert watcher.current.versions["bandit"] == f"prior.{newest}"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)


def test_a_worker_goes_on_to_what_one_that_has_just_started_reads(
    watcher, registry, ledger, toy_domain, toy_catalog, now, row
):
    """The first reads the rows that changed, the second all of them."""
    publisher, mine = SnapshotPublisher(ledger), a_bandit().state
    for action in ("discount", "call_back", "discount"):
        packed = publisher.pack(mine, toy_catalog, "prior", {"app": (1.0, 0.5)})
        ledger.write_now(lambda c, p=packed: publisher.publish(c, "prior", p, now))
        assert watcher.refresh_snapshot()
        fresh = ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)
        fresh.refresh()
        assert watcher.current.versions == fresh.current.versions
        assert accepted(watcher.current, row) == accepted(fresh.current, row)
        assert watcher.current.bandit.model.looks == {"app": (1.0, 0.5)}
        mine.learn(outcomes(np.zeros((1, 1)), ["app"], [action], [0.0]))


# Another catalogue -----------------------------------------------------------------------------


def with_priors(catalog: Catalog, **priors: float) -> Catalog:
    """The catalogue with some of its actions, each with the given prior."""
    content = catalog.model_dump(by_alias=True)
    actions = {name: content["actions"][name] for name in priors}
    for name, acceptance in priors.items():
        actions[name]["prior"]["acceptance"] = acceptance
    return Catalog.model_validate(content | {"actions": actions})


@pytest.mark.parametrize("published", [False, True])
def test_a_catalogue_that_changes_is_followed_as_if_it_had_been_there_from_the_start(
    registry, ledger, toy_domain, toy_catalog, now, row, published
):
    """Replay reads champion or snapshot anew; it must find what was decided with."""
    registry.promote("bandit", "1", a_bandit())
    if published:
        publish(ledger, now, "1", a_bandit(accepted=0.5))
    watcher = ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)
    watcher.refresh()
    for other in (
        with_priors(toy_catalog, call_back=0.3),  # the one we have learned of goes
        with_priors(toy_catalog, call_back=0.3, discount=0.6),  # and is back
    ):
        watcher.follow(other)
        fresh = ModelWatcher(registry, ledger, toy_domain, other, PARAMS)
        fresh.refresh()
        assert watcher.current.versions == fresh.current.versions
        assert accepted(watcher.current, row) == accepted(fresh.current, row)


def test_models_of_another_catalogue_are_not_mixed_with_a_setup(
    registry, ledger, toy_domain, toy_catalog
):
    """The same actions with other priors: a decision of both could not be repeated."""
    model_input = ModelInput(toy_domain)
    watcher = ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)
    setup = DecisionSetup(
        CompiledCatalog(toy_catalog, toy_domain, model_input), watcher.current, model_input
    )
    other = with_priors(toy_catalog, call_back=0.9, discount=0.2, talk_plus=0.1)
    watcher.follow(other)
    assert setup.with_models(watcher.current) is setup
    watcher.follow(toy_catalog)
    assert setup.with_models(watcher.current).models is watcher.current
