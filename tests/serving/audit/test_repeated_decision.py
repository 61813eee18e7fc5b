"""A decision is made again by what was believed, whichever snapshots are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import Archive, keep_catalog
from serving.audit.replay import Replay
from tests.serving.fake_registry import (
    PARAMS,
    FakeRegistry,
    a_bandit,
    publish,
    publish_effect_model,
)
from tests.serving.fakes import changed, decide, engine_of

RULES = {
    "contact_policy": {
        "outbound": ["phone"],
        "caps": [{"at_most": 2, "days": 7, "each": ["action"]}],
        "cool_downs": [{"after": ["rejected"], "days": 3}],
    },
    "arms": {"random": 0.2, "nobody": 0},
}


@pytest.fixture
def catalog(toy_catalog):
    return changed(toy_catalog, **RULES)


@pytest.fixture
def registry(tmp_path):
    found = FakeRegistry(tmp_path / "models")
    found.promote("bandit", "7", a_bandit(accepted=0.25))
    return found


@pytest.fixture
def archive(registry, ledger, toy_domain):
    """An archive that serves as a source of models for the engine."""
    return Archive(registry, ledger, toy_domain, PARAMS)


@pytest.fixture
def replay(registry, ledger, toy_domain, catalog):
    """Makes decisions again, with an archive that has read nothing yet."""

    def of(catalog=catalog):
        return Replay(ledger, Archive(registry, ledger, toy_domain, PARAMS), catalog)

    return of


@pytest.fixture
def engine(archive, catalog, toy_domain, ledger, now):
    keep_catalog(ledger, catalog, now)
    customers = {f"c{n}": CustomerFeatures({"age_years": str(20 + 9 * n)}, None) for n in range(4)}
    return engine_of(catalog, toy_domain, ledger, customers)


@pytest.fixture
def serve(engine, archive, ledger, now):
    """Publish a snapshot and serve it; gives its number."""

    def of(accepted, base="7"):
        number = publish(ledger, now, base, a_bandit(accepted=accepted))
        versions = {"bandit": f"{base}.{number}"}
        models = archive.setup(engine.setup.compiled.catalog, versions).models
        engine.setup = engine.setup.with_models(models)
        return number

    return of


def lose(ledger, *numbers):
    """Delete some snapshots, or all of them and what belongs to them."""
    columns = tables.snapshots.c
    some = [sa.delete(tables.snapshots).where(columns.sequence.in_(numbers))]
    every = [sa.delete(tables.snapshots), sa.delete(tables.snapshot_parts)]
    every.append(sa.delete(tables.snapshot_actions))
    for one in some if numbers else every:
        ledger.write_now(lambda c, one=one: c.execute(one))


def without_contributions(candidates):
    return [one.model_copy(update={"contributions": None}) for one in candidates]


def test_without_any_snapshot_every_decision_is_repeated_to_the_byte_and_explained(
    engine, serve, replay, ledger, now
):
    names = []
    for number in range(36):
        if number % 12 == 0:
            serve(accepted=0.2 + number / 60)
        fields = {
            "customer_id": f"c{number % 4}",
            "channel": ("app", "phone")[number % 2],
            "slots": 1 + number % 3,
            "explain": number % 4 == 0,
        }
        names.append(decide(engine, now + timedelta(hours=number), **fields).decision_id)
    before = [replay().explain(name) for name in names]
    lose(ledger)
    again = replay()
    for with_catalog in ("then", "now"):
        found = list(again.since(now, None, with_catalog))
        assert [one for one in found if not one.identical] == []
        assert len(found) == len(names)
    for number, (name, kept) in enumerate(zip(names, before, strict=True)):
        explained = again.explain(name)
        assert explained.as_logged and kept.as_logged and kept.remark is None
        if number % 4 == 0:  # its contributions were told then
            assert explained == kept
            continue
        assert "told by the champion of then, as no snapshot up to" in explained.remark
        assert explained.decision.actions == kept.decision.actions
        assert explained.decision.removed == kept.decision.removed
        found, expected = explained.decision.explanation, kept.decision.explanation
        assert without_contributions(found.candidates) == without_contributions(expected.candidates)


def test_contributions_of_another_snapshot_add_up_to_what_was_believed(
    engine, serve, replay, ledger, now
):
    kept, gone = serve(accepted=0.1), serve(accepted=0.9)
    decide(engine, now, decision_id="d1")
    lose(ledger, gone)
    explained = replay().explain("d1")
    assert explained.as_logged
    told = f"told by snapshot {kept} of the bandit, the newest kept up to {gone}"
    assert told in explained.remark
    found = {one.action_id: one for one in explained.decision.explanation.candidates}
    found.pop("no_action", None)
    for one in found.values():
        effects = [effect.effect for effect in one.contributions.strongest]
        total = one.contributions.baseline + sum(effects) + one.contributions.others
        assert total == pytest.approx(one.acceptance, abs=1e-9)
    assert found["discount"].acceptance > 0.5  # far from what the other snapshot believes


def test_without_snapshot_and_champion_no_contribution_is_told_and_the_answer_says_so(
    engine, serve, replay, ledger, now
):
    serve(accepted=0.9, base="prior")
    plain = decide(engine, now, decision_id="d1")
    lose(ledger)
    explained = replay().explain("d1")
    assert explained.as_logged and explained.decision.actions == plain.actions
    assert explained.remark.endswith("is not told: no snapshot is kept.")
    found = explained.decision.explanation.candidates
    assert found and all(one.contributions is None for one in found)


def test_actions_that_were_no_candidates_are_told_by_the_nearest_snapshot_and_the_cause_says_so(
    engine, serve, replay, catalog, ledger, now
):
    kept, gone = serve(accepted=0.1), serve(accepted=0.9)
    decide(engine, now, decision_id="d1", channel="app", slots=3)
    lose(ledger, gone)
    actions = catalog.model_dump(by_alias=True)["actions"]
    actions["call_back"]["value"] = 40.0  # another value; what was believed of it still holds
    [cause] = replay(changed(catalog, actions=actions)).replay("d1").causes
    assert cause.startswith("catalog: ")
    actions["rebate"] = actions["discount"]
    of_catalog, of_models = replay(changed(catalog, actions=actions)).replay("d1").causes
    assert of_models == (
        "models: of rebate nothing was believed then, or with another prior; their acceptance is "
        f"told by snapshot {kept} of the bandit, the newest kept up to {gone}"
    )


def test_a_decision_of_an_earlier_release_needs_its_snapshot_and_says_so(
    engine, serve, replay, ledger, now
):
    gone = (serve(accepted=0.1), serve(accepted=0.9))[1]
    decide(engine, now, decision_id="d1", customer_id="c1")
    ledger.write_now(lambda c: c.execute(sa.update(tables.decisions).values(believed=None)))
    again = replay()
    assert again.replay("d1", "then").identical and again.explain("d1").remark is None
    lose(ledger, gone)
    again = replay()
    answer = again.replay("d1", "then")
    assert not answer.identical
    assert [cause.partition(";")[0] for cause in answer.causes] == [
        "models: an earlier release made the decision, and kept not what was believed"
    ]
    explained = again.explain("d1")
    assert not explained.as_logged and "earlier release" in explained.remark


def test_effects_of_actions_that_were_no_candidates_count_as_0_without_their_model(
    archive, toy_domain, catalog, registry, ledger, now
):
    publish_effect_model(ledger, now, 4)
    added = changed(catalog, objective="added_value", arms={"random": 0, "nobody": 0})
    keep_catalog(ledger, added, now)
    versions = {"bandit": "7", "effects": "4"}
    engine = engine_of(added, toy_domain, ledger, {}, archive.setup(added, versions).models)
    decide(engine, now, decision_id="d1", slots=3)
    actions = added.model_dump(by_alias=True)["actions"]
    later = changed(added, actions={**actions, "rebate": actions["discount"]})

    def again(then):
        return Replay(ledger, Archive(registry, ledger, toy_domain, PARAMS), later).replay(
            "d1", then
        )

    [of_catalog] = again("now").causes
    assert of_catalog.startswith("catalog: ")
    ledger.write_now(lambda c: c.execute(sa.delete(tables.effect_models)))
    assert again("now").causes == [
        of_catalog,
        "models: of rebate nothing was believed then, or with another prior; their effects count "
        "as 0, as effect model 4 is not kept",
    ]
    assert again("then").identical
