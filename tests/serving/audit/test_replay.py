"""A logged decision comes out the same, to the byte; and where it does not, the cause is named."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial

import numpy as np
import pytest
import sqlalchemy as sa

from features.errors import DecisionUnknown, NotRepeatable
from features.ledger import tables
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import keep_catalog
from serving.audit.replay import Replay
from serving.contract.events import OutcomeRequest
from serving.decide import inputs
from serving.decide.outcomes import record_outcome
from serving.decide.step_results import DecisionInputs
from serving.policies.arms import arm_of
from tests.decided import put_imported
from tests.features.live import add, person
from tests.serving.fakes import FakeArchive, changed, decide, engine_of, models_of, rows, swap

PLUS = CustomerFeatures({"plan": "plus", "age_years": "41"}, None)
RULES = {
    "context": {"page": {"type": "text"}},
    "groups": {"promotion": {"kind": "promotion", "purpose": "marketing"}},
    "purposes": {"marketing": {}},
    "contact_policy": {
        "outbound": ["phone"],
        "caps": [{"at_most": 3, "days": 7, "each": ["action"]}],
        "cool_downs": [{"after": ["rejected"], "days": 3}],
    },
    "arbitration": {"context_weights": [{"when": "context_page == 'help'", "weight": 2}]},
    "arms": {"random": 0.3, "nobody": 0.2},
}


@pytest.fixture
def catalog(toy_catalog):
    return changed(toy_catalog, **RULES)


@pytest.fixture
def engine(toy_domain, catalog, ledger, now):
    keep_catalog(ledger, catalog, now)
    return engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, models_of(catalog, "1"))


@pytest.fixture
def archive(toy_domain, ledger):
    return FakeArchive(toy_domain, ledger)


def a_few(engine, now):
    """Decisions of many kinds: slots, contexts, strangers, explained, deferred, model versions."""
    for number in range(60):
        if number == 30:
            models = models_of(engine.setup.compiled.catalog, "2")
            engine.setup = engine.setup.with_models(models)
        fields = {
            "customer_id": ("c1", "stranger", f"c{number}")[number % 3],
            "channel": ("app", "phone")[number % 2],
            "slots": 1 + number % 3,
            "explain": number % 5 == 0,
            "activate": number % 7 != 0,
            "context": {"page": "help"} if number % 4 else {},
        }
        decide(engine, now + timedelta(hours=number), **fields)


def test_every_decision_comes_out_the_same(engine, archive, catalog, ledger, now):
    a_few(engine, now)
    answers = list(Replay(ledger, archive, catalog).since(now, None))
    assert len(answers) == 60
    assert all(answer.identical for answer in answers), [a for a in answers if not a.identical][0]


@pytest.fixture
def paced(toy_domain, catalog, ledger, now):
    """An engine whose actions have a small volume and a small budget."""
    actions = catalog.model_dump(by_alias=True)["actions"]
    actions["call_back"] |= {"volume": {"at_most": 9}}
    for name in ("discount", "talk_plus"):
        actions[name] |= {"budget": "spring"}
    scarce = changed(catalog, actions=actions, budgets={"spring": {"at_most": 6}})
    keep_catalog(ledger, scarce, now)
    return engine_of(scarce, toy_domain, ledger, {"c1": PLUS}, models_of(scarce, "1"))


def many(engine, now):
    for number in range(120):
        explain, who = number % 9 == 0, f"c{number}"
        decide(engine, now + timedelta(minutes=5 * number), customer_id=who, explain=explain)


def test_decisions_in_all_arms_with_scarce_volumes_come_out_the_same(paced, archive, ledger, now):
    many(paced, now)
    catalog = paced.setup.compiled.catalog
    found = rows(ledger)
    assert {row.arm for row in found} == {"policy", "random", "nobody"}
    removed = {rule for row in found for rule in json.loads(row.record)["removed"].values()}
    assert removed >= {"arms.nobody", "actions.call_back.volume", "budgets.spring"}
    answers = list(Replay(ledger, archive, catalog).since(now, None))
    assert len(answers) == 120 and all(answer.identical for answer in answers)
    for arm in ("policy", "random", "nobody"):
        one = next(row for row in found if row.arm == arm)
        explained = Replay(ledger, archive, catalog).explain(one.decision_id)
        assert explained.as_logged and explained.decision.arm == arm


def test_decisions_of_when_there_were_two_arms_come_out_the_same(
    paced, archive, ledger, now, monkeypatch
):
    """The control group was drawn from what prices had left, and shared the whole volumes."""

    def former(customer_id, arms):
        return "control" if arm_of(customer_id, arms) == "random" else "policy"

    monkeypatch.setattr(inputs, "arm_of", former)
    monkeypatch.setattr(inputs, "DecisionInputs", partial(DecisionInputs, shared=False))
    many(paced, now)
    monkeypatch.undo()
    found = rows(ledger)
    assert {row.arm for row in found} == {"policy", "control"}
    assert not any("shared" in json.loads(row.record) for row in found)
    of_control = [json.loads(row.record)["removed"] for row in found if row.arm == "control"]
    assert any("call_back" in removed for removed in of_control)
    catalog = paced.setup.compiled.catalog
    answers = list(Replay(ledger, archive, catalog).since(now, None))
    assert len(answers) == 120 and all(answer.identical for answer in answers)


def test_the_arm_of_then_counts_when_the_shares_have_changed(engine, archive, catalog, ledger, now):
    a_few(engine, now)
    others = changed(catalog, arms={"random": 0, "nobody": 0.5, "salt": "other"})
    answers = Replay(ledger, archive, others).since(now, None)
    assert all(answer.identical for answer in answers)


def test_a_decision_is_made_again_with_the_looks_of_then(engine, archive, catalog, ledger, now):
    swap(engine, seen=(1.0, 0.4, 0.1))
    for number in range(30):
        at, slots = now + timedelta(days=7 * number), 1 + number % 3
        decide(engine, at, slots=slots, explain=number % 5 == 0)
    kept = [json.loads(row.record) for row in rows(ledger)]
    looks = {one["request"].get("slots", 1): one.get("looks", "none") for one in kept}
    assert looks == {1: "none", 2: [1.0, 0.4], 3: [1.0, 0.4, 0.1]}
    answers = list(Replay(ledger, archive, catalog).since(now, None))
    assert len(answers) == 30 and all(answer.identical for answer in answers)


def test_decisions_of_former_versions_which_their_id_seeded_come_out_the_same(
    engine, archive, catalog, ledger, now, monkeypatch
):
    monkeypatch.setattr(inputs, "draw_seed", lambda secret, decision_id: decision_id)
    a_few(engine, now)
    records = ledger.read(lambda c: list(c.execute(sa.select(tables.decisions.c.record)).scalars()))
    assert not any("seed" in json.loads(record) for record in records)
    assert all(answer.identical for answer in Replay(ledger, archive, catalog).since(now, None))


def test_a_decision_without_features_comes_out_the_same_when_they_are_back(
    engine, archive, catalog, ledger, now
):
    engine.features.problem = "the online store failed"
    for number in range(20):
        channel = ("app", "phone")[number % 2]
        answer = decide(engine, now, channel=channel, slots=2, explain=number % 3 == 0)
        offered = {one.action_id for one in answer.actions}
        assert offered <= ({"call_back", "no_action"} if channel == "app" else {"no_action"})
        assert answer.degraded == ["features: the online store failed"]
    engine.features.problem = ""
    decide(engine, now)
    answers = list(Replay(ledger, archive, catalog).since(now, None))
    assert len(answers) == 21 and all(answer.identical for answer in answers)


def test_decisions_limited_by_their_account_come_out_the_same(
    toy_domain, archive, catalog, ledger, now
):
    per_account = {
        "caps": [{"at_most": 3, "days": 7, "each": ["action"], "per": "account"}],
        "cool_downs": [
            {"after": ["rejected"], "days": 2, "per": "account"},
            {"after_showings": 2, "days": 1, "each": ["action"], "per": "account"},
        ],
    }
    catalog = changed(catalog, contact_policy=per_account)
    keep_catalog(ledger, catalog, now)
    people = [person("c1", "acme"), person("c2", "acme"), person("c3")]
    add(ledger, tables.customers, *people)
    engine = engine_of(catalog, toy_domain, ledger, {}, models_of(catalog, "1"))
    removed = set()
    for number in range(30):
        at = now + timedelta(hours=3 * number)
        who = {"customer_id": f"c{1 + number % 3}", "decision_id": f"d{number}"}
        decided = decide(engine, at, **who, slots=2, explain=True)
        removed |= {one.rule for one in decided.removed}
        first = decided.actions[0].action_id
        said = OutcomeRequest(decision_id=decided.decision_id, outcome="rejected", action_id=first)
        if number % 4 == 0 and first != "no_action":
            asyncio.run(record_outcome(said, ledger, catalog, at))
    assert {f"contact_policy.{name}" for name in ("caps.0", "cool_downs.0", "cool_downs.1")} <= {
        *removed
    }
    answers = list(Replay(ledger, archive, catalog).since(now, None))
    assert len(answers) == 30 and all(answer.identical for answer in answers)


def test_the_time_and_the_limit_choose_which(engine, archive, catalog, ledger, now):
    a_few(engine, now)
    replay = Replay(ledger, archive, catalog)
    assert len(list(replay.since(now + timedelta(hours=50), None))) == 10
    assert len(list(replay.since(now, 7))) == 7


def test_after_a_merge_the_decision_is_still_that_of_whom_it_was_made_for(
    engine, archive, catalog, ledger, now
):
    decide(engine, now, decision_id="d1", customer_id="cookie:9")
    moved = sa.update(tables.decisions).values(customer_id="c1")
    ledger.write_now(lambda c: c.execute(moved))
    assert Replay(ledger, archive, catalog).replay("d1").identical


def test_a_changed_catalogue_is_named_with_what_changed(engine, archive, catalog, ledger, now):
    decide(engine, now, decision_id="d1", slots=2)
    actions = catalog.model_dump(by_alias=True)["actions"]
    actions["call_back"]["value"] = 12.5
    actions["discount"]["value"] = 7.25
    other = changed(catalog, actions=actions)
    answer = Replay(ledger, archive, other).replay("d1")
    assert not answer.identical
    [cause] = answer.causes
    assert cause.startswith(
        f"catalog: decided with {catalog.fingerprint}, now {other.fingerprint} "
        "(actions.call_back.value was 10.0, is 12.5;"
    )
    assert answer.differences
    assert Replay(ledger, archive, other).replay("d1", "then").identical


def test_a_change_that_makes_no_difference_to_it_leaves_it_identical(
    engine, archive, catalog, ledger, now
):
    decide(engine, now, decision_id="d1", channel="app")
    actions = catalog.model_dump(by_alias=True)["actions"]
    actions["talk_plus"]["treatments"]["phone"]["title"] = "Other words, on another channel"
    assert Replay(ledger, archive, changed(catalog, actions=actions)).replay("d1").identical


@pytest.mark.parametrize("field", ["probability", "priority", "treatment"])
def test_a_log_that_was_tampered_with_is_found_out(engine, archive, catalog, ledger, now, field):
    decide(engine, now, decision_id="d1")
    [row] = ledger.read(lambda c: c.execute(sa.select(tables.decisions)).all())
    answer = json.loads(row.answer)
    answer["actions"][0][field] = {"probability": 0.5, "priority": 9, "treatment": {"a": 1}}[field]
    forged = sa.update(tables.decisions).values(answer=json.dumps(answer, separators=(",", ":")))
    ledger.write_now(lambda c: c.execute(forged))
    found = Replay(ledger, archive, catalog).replay("d1")
    assert not found.identical
    assert found.causes == ["nothing that we keep has changed: the program itself, or the log"]
    assert found.differences[0].field.startswith(f"actions.0.{field}")


def test_a_feature_that_was_tampered_with_is_found_out(engine, archive, catalog, ledger, now):
    decide(engine, now, decision_id="d1")
    row = np.full(len(engine.model_input.names), 1.0)
    forged = sa.update(tables.decisions).values(features=row.tobytes())
    ledger.write_now(lambda c: c.execute(forged))
    answer = Replay(ledger, archive, catalog).replay("d1")
    # The fakes read no feature, but the stage does: of a journey that is open for one day.
    assert not answer.identical
    assert "predictions.stage" in {one.field for one in answer.differences}


@pytest.mark.parametrize("column", ["answer", "record", "believed", "features"])
def test_damaged_bytes_are_named_and_other_decisions_are_replayed(
    engine, archive, catalog, ledger, now, column
):
    for number in range(3):
        decide(engine, now + timedelta(days=7 * number), decision_id=f"d{number}")
    mine = sa.text(f"UPDATE decisions SET {column} = :damaged WHERE decision_id = 'd1'")
    ledger.write_now(lambda c: c.execute(mine, {"damaged": b"\x01\x02damaged"}))
    replay = Replay(ledger, archive, catalog)
    found = {one.decision_id: one for one in replay.since(now, None)}
    assert [one.identical for one in found.values()] == [True, False, True]
    [cause] = found["d1"].causes
    with pytest.raises(NotRepeatable) as refused:
        replay.explain("d1")
    if column == "believed":
        assert cause == "it could not be repeated (ValueError); see the log"
        assert "'d1' cannot be repeated: beliefs of 9 bytes" in str(refused.value)
    else:
        assert "cannot be read from the ledger" in cause
        assert str(refused.value) == cause


def test_a_lost_model_is_named(engine, archive, catalog, ledger, now):
    decide(engine, now, decision_id="d1")
    archive.lost = ("1",)
    answer = Replay(ledger, archive, catalog).replay("d1")
    assert (answer.identical, answer.causes) == (False, ["Bandit is gone. Expected one. None."])
    with pytest.raises(NotRepeatable, match="'d1' cannot be repeated: Bandit is gone"):
        Replay(ledger, archive, catalog).explain("d1")


def test_the_text_of_an_error_that_is_not_ours_stays_in_the_log(
    engine, archive, catalog, ledger, now, monkeypatch, caplog
):
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a value of somebody")

    decide(engine, now, decision_id="d1")
    replay = Replay(ledger, archive, catalog)
    monkeypatch.setattr(replay, "_repeat", fail)
    answer = replay.replay("d1")
    assert answer.causes == ["it could not be repeated (KeyError); see the log"]
    assert "KeyError: 'a value of somebody'" in caplog.text


def test_another_domain_file_is_named(engine, archive, catalog, ledger, now):
    decide(engine, now, decision_id="d1")
    archive.fingerprint = "another"
    answer = Replay(ledger, archive, catalog).replay("d1")
    assert not answer.identical
    assert answer.causes[0].startswith("domain: the domain file has changed since")


def test_a_past_decision_is_explained_as_it_was_then(engine, archive, catalog, ledger, now):
    plain = decide(engine, now, decision_id="d1", channel="phone")
    other = changed(catalog, actions={"new": catalog.model_dump()["actions"]["discount"]})
    explained = Replay(ledger, archive, other).explain("d1")
    assert explained.as_logged
    assert explained.decision.actions == plain.actions
    assert {one.action_id: one.rule for one in explained.decision.removed} == {
        "discount": "treatments"
    }


@pytest.mark.parametrize("verb", ["replay", "explain"])
def test_a_decision_we_never_made_is_unknown(archive, catalog, ledger, now, verb):
    put_imported(ledger, "old", now)
    for name in ("old", "never"):
        with pytest.raises(DecisionUnknown, match=f"decision_id '{name}' is not of a decision"):
            getattr(Replay(ledger, archive, catalog), verb)(name)
