"""Taking in what followed: once each, late or not, and taken back if need be."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features import tables
from features.errors import DecisionConflict, DecisionUnknown, InvalidRequest
from features.ledger import Ledger
from serving.contract import OutcomeAnswer, OutcomeRequest
from serving.outcomes import record_outcome
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

LATER = timedelta(hours=2)


@pytest.fixture
def tell(ledger, toy_catalog, now):
    """Tells of an outcome of decision d1 (call_back, then discount) two hours after it."""
    decided(ledger, "d1", now, {"call_back": 7, "discount": 14})
    decided(ledger, "d2", now, {"discount": 14})

    def send(outcome: str = "accepted", **fields: object) -> OutcomeAnswer:
        whole = {"decision_id": "d1", "outcome": outcome} | fields
        request = OutcomeRequest.model_validate(whole)
        return asyncio.run(record_outcome(request, ledger, toy_catalog, now + LATER))

    return send


def rows(ledger: Ledger) -> list[sa.Row]:
    return ledger.read(lambda c: c.execute(sa.select(tables.outcomes)).all())


def test_an_outcome_is_on_disk_when_it_is_answered(tell, ledger, now):
    answer = tell(value=3.5, outcome_id="o1")
    [row] = rows(ledger)
    assert (answer.outcome_id, answer.status) == ("o1", "recorded")
    assert (row.outcome_id, row.decision_id, row.outcome, row.value) == (
        "o1",
        "d1",
        "accepted",
        3.5,
    )
    assert (row.received_at, row.retracts, row.learned) == (now + LATER, None, False)


def test_without_an_action_the_first_of_the_decision_is_meant(tell, ledger):
    tell()
    assert rows(ledger)[0].action_id == "call_back"


def test_an_outcome_may_speak_of_a_lower_rank(tell, ledger):
    tell(action_id="discount")
    assert rows(ledger)[0].action_id == "discount"


def test_without_a_time_it_happened_now_and_otherwise_then(tell, ledger, now):
    tell("accepted")
    tell("rejected", occurred_at=now + timedelta(minutes=5))
    happened = {row.outcome: row.occurred_at for row in rows(ledger)}
    assert happened == {"accepted": now + LATER, "rejected": now + timedelta(minutes=5)}


@pytest.mark.parametrize("outcome_id", [None, "o1"])
def test_the_same_outcome_again_is_a_duplicate(tell, ledger, outcome_id):
    once, again = tell(outcome_id=outcome_id), tell(outcome_id=outcome_id)
    assert (once.status, again.status) == ("recorded", "duplicate")
    assert once.outcome_id == again.outcome_id
    assert len(rows(ledger)) == 1


def test_without_an_id_other_decisions_actions_and_outcomes_are_other_outcomes(tell, ledger):
    tell()
    assert tell("rejected").status == "recorded"
    assert tell(action_id="discount").status == "recorded"
    assert tell(decision_id="d2").status == "recorded"
    assert len(rows(ledger)) == 4


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"outcome": "rejected"}, "outcome 'accepted'"),
        ({"decision_id": "d2"}, "decision_id 'd1'"),
        ({"action_id": "discount"}, "action_id 'call_back'"),
        ({"value": 2.0}, "value 1.0"),
    ],
)
def test_an_id_that_comes_back_with_another_content_is_a_conflict(tell, ledger, changed, field):
    first = {"outcome_id": "o1", "value": 1.0}
    tell(**first)
    with pytest.raises(DecisionConflict, match=f"'o1' is there with {field}.*'retracts'"):
        tell(**(first | changed))
    assert len(rows(ledger)) == 1


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"decision_id": "d9"}, DecisionUnknown, "decision_id 'd9' is not in the ledger"),
        (
            {"outcome": "acepted"},
            InvalidRequest,
            "outcome is 'acepted'. Expected one of clicked, accepted, rejected",
        ),
        (
            {"action_id": "talk_plus"},
            InvalidRequest,
            "action_id is 'talk_plus'. .* decision 'd1' has shown: call_back, discount",
        ),
        (
            {"occurred_at": "2026-11-22T09:59:59Z"},
            InvalidRequest,
            "occurred_at is 2026-11-22T09:59:59.*before the decision of 2026-11-22T10:00:00",
        ),
        ({"retracts": "o9"}, DecisionUnknown, "retracts is 'o9'. .*same decision"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_named_and_not_kept(tell, ledger, fields, error, message):
    with pytest.raises(error, match=message):
        tell(**fields)
    assert rows(ledger) == []


def test_an_outcome_at_the_very_moment_of_the_decision_is_taken(tell, now):
    assert tell(occurred_at=now).status == "recorded"


def test_a_time_in_another_zone_is_the_same_moment(tell, ledger, now):
    tell(occurred_at="2026-11-22T12:30:00+02:00")
    assert rows(ledger)[0].occurred_at == now + timedelta(minutes=30)


def test_an_outcome_is_taken_back_by_its_id(tell, ledger):
    told = tell()
    back = tell(retracts=told.outcome_id)
    assert back.status == "recorded"
    [row] = [row for row in rows(ledger) if row.retracts]
    assert (row.outcome_id, row.retracts) == (back.outcome_id, told.outcome_id)
    assert not row.learned


def test_taking_back_twice_is_a_duplicate(tell, ledger):
    told = tell()
    once, again = tell(retracts=told.outcome_id), tell(retracts=told.outcome_id)
    assert (once.status, again.status) == ("recorded", "duplicate")
    assert len(rows(ledger)) == 2


def test_an_outcome_of_another_decision_cannot_be_taken_back(tell, ledger):
    told = tell()
    with pytest.raises(DecisionUnknown, match=f"retracts is '{told.outcome_id}'"):
        tell(decision_id="d2", retracts=told.outcome_id)
    assert len(rows(ledger)) == 1


def test_an_imported_decision_takes_outcomes_of_its_one_action(tell, ledger, now):
    imported = {
        "decision_id": "old",
        "subject": "c1",
        "customer_id": "c1",
        "decided_at": now,
        "activated_at": now,
        "channel": "app",
        "action_id": "discount",
        "served": False,
        "window_ends_at": now,
    }
    ledger.write_now(lambda c: c.execute(tables.decisions.insert(), imported))
    assert tell(decision_id="old").status == "recorded"
    with pytest.raises(InvalidRequest, match="decision 'old' has shown: discount"):
        tell(decision_id="old", action_id="call_back")


def test_many_tellers_of_one_outcome_at_once_are_counted_once(tell, ledger, toy_catalog, now):
    request = OutcomeRequest(decision_id="d1", outcome="accepted")

    async def all_at_once() -> list[OutcomeAnswer]:
        asked = (record_outcome(request, ledger, toy_catalog, now + LATER) for _ in range(20))
        return await asyncio.gather(*asked)

    answers = [answer.status for answer in asyncio.run(all_at_once())]
    assert sorted(answers) == ["duplicate"] * 19 + ["recorded"]
    assert len(rows(ledger)) == 1


def test_an_outcome_from_the_future_is_refused(tell, now):
    with pytest.raises(InvalidRequest, match="occurred_at is .*, in the future"):
        tell(occurred_at=now + timedelta(days=1))


def test_a_retraction_cannot_be_taken_back(tell):
    told = tell()
    back = tell(retracts=told.outcome_id)
    with pytest.raises(DecisionUnknown, match="itself no retraction"):
        tell(retracts=back.outcome_id)


def test_an_outcome_that_we_named_can_be_taken_back_however_long_its_name_is(tell, ledger, now):
    decided(ledger, "d" * 200, now, {"call_back": 7})
    first = tell(decision_id="d" * 200)
    assert len(first.outcome_id) > 200
    back = tell(decision_id="d" * 200, retracts=first.outcome_id)
    assert back.status == "recorded"
