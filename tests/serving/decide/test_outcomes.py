"""Taking in what followed: once each, late or not, and taken back if need be."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest
import sqlalchemy as sa

from features.customers.contact_outcomes import update_outcomes_at
from features.errors import DecisionConflict, DecisionUnknown, InvalidRequest
from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.contract.events import OutcomeAnswer, OutcomeRequest
from serving.decide import outcomes
from serving.decide.outcomes import record_outcome
from tests.decided import decided
from tests.summed import marked

pytestmark = pytest.mark.databases("sqlite", "postgresql")

LATER = timedelta(hours=2)


@pytest.fixture
def tell(ledger, toy_catalog, now):
    """Tells of an outcome of decision d1 (call_back, then discount) two hours after it.

    It is one of the first action, unless the fields say another or change an outcome.
    """
    decided(ledger, "d1", now, {"call_back": 7, "discount": 14})
    decided(ledger, "d2", now, {"discount": 14})

    def send(outcome: str = "accepted", **fields: object) -> OutcomeAnswer:
        whole: dict[str, object] = {"decision_id": "d1", "outcome": outcome} | fields
        if whole["decision_id"] == "d1" and not fields.keys() & {"retracts", "revises"}:
            whole = {"action_id": "call_back"} | whole
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
    assert marked(ledger) == [("decision", "d1")]


def test_without_an_action_the_only_one_of_the_decision_is_meant(tell, ledger):
    tell(decision_id="d2")
    assert rows(ledger)[0].action_id == "discount"


def test_without_an_action_an_outcome_of_several_is_refused_and_says_how_to_tell_it(tell, ledger):
    with pytest.raises(InvalidRequest) as refused:
        tell(action_id=None)
    assert str(refused.value) == (
        "action_id is missing, and decision 'd1' has shown 2 actions. Expected one of call_back, "
        "discount. Send the action that the outcome belongs to; of several that share one outcome, "
        "send each with the same shared_id."
    )
    assert rows(ledger) == []


def test_a_retry_of_an_outcome_that_an_earlier_release_took_for_rank_1_is_a_duplicate(tell, ledger):
    tell(action_id="call_back", outcome_id="o1")
    assert tell(action_id=None, outcome_id="o1").status == "duplicate"
    with pytest.raises(InvalidRequest, match="action_id is missing, and decision 'd1' has shown 2"):
        tell(action_id=None, outcome_id="o2")
    tell(decision_id="d2", outcome_id="o3")
    with pytest.raises(InvalidRequest, match="action_id is missing, and decision 'd1' has shown 2"):
        tell(action_id=None, outcome_id="o3")  # of another decision
    assert [row.outcome_id for row in rows(ledger)] == ["o1", "o3"]


@pytest.mark.parametrize("change", ["retracts", "revises"])
def test_a_retraction_or_a_revision_need_not_repeat_the_action(tell, ledger, change):
    told = tell(action_id="discount").outcome_id
    assert tell(**{change: told}).status == "recorded"
    assert [row.action_id for row in rows(ledger)] == ["discount", "discount"]


@pytest.mark.parametrize("kept", [["call_back"], ["discount"]])
def test_after_an_activation_that_kept_one_action_that_one_is_meant(tell, ledger, now, kept):
    both, activation = {"call_back": 7, "discount": 14}, json.dumps({"activated": kept})
    decided(ledger, "d3", now, both, activation=activation)
    tell(decision_id="d3")
    assert [row.action_id for row in rows(ledger)] == kept


def test_what_showed_nothing_is_never_withdrawn_by_an_activation(tell, ledger, now):
    decided(ledger, "d3", now, {}, activation=json.dumps({"activated": []}))
    tell(decision_id="d3", outcome="rejected")
    assert [row.action_id for row in rows(ledger)] == ["no_action"]


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
        ({"action_id": "discount"}, "action_id 'call_back'"),
        ({"value": 2.0}, "value 1.0"),
        ({"value": None}, "value 1.0"),
        ({"shared_id": "order-7"}, "shared_id None"),
        ({"occurred_at": "2026-11-22T10:59:00Z"}, r"occurred_at 2026-11-22T11:00:00\+00:00"),
    ],
)
def test_an_id_that_comes_back_with_another_content_is_a_conflict(tell, ledger, changed, field):
    first = {"outcome_id": "o1", "value": 1.0, "occurred_at": "2026-11-22T11:00:00Z"}
    assert [tell(**first).status for _ in range(2)] == ["recorded", "duplicate"]
    with pytest.raises(DecisionConflict, match=f"'o1' is there with {field}.*'retracts'"):
        tell(**(first | changed))
    assert len(rows(ledger)) == 1


def test_a_conflict_shows_nothing_of_another_decision(tell):
    tell(outcome_id="o1", value=17.0, shared_id="order-7")
    with pytest.raises(DecisionConflict, match="'o1' is there with another decision_id") as refused:
        tell(decision_id="d2", outcome_id="o1", value=18.0)
    assert not {"'d1'", "17", "order-7"} & {*str(refused.value).replace(".", " ").split()}


@pytest.mark.parametrize(
    ("first", "again", "status"),
    [
        (None, None, "duplicate"),
        (30, 30, "duplicate"),
        (30, None, "duplicate"),
        (30, 31, "conflict"),
        (None, 30, "conflict"),
    ],
)
@pytest.mark.parametrize("outcome_id", [None, "o1"])
def test_a_retry_has_the_same_time_or_none(
    ledger, toy_catalog, now, outcome_id, first, again, status
):
    decided(ledger, "d1", now, {"call_back": 7})

    def send(minute, later):
        stamp = None if minute is None else now + timedelta(minutes=minute)
        fields = {"outcome": "clicked", "outcome_id": outcome_id, "occurred_at": stamp}
        request = OutcomeRequest(decision_id="d1", **fields)
        return asyncio.run(record_outcome(request, ledger, toy_catalog, now + later))

    send(first, LATER)
    if status == "duplicate":
        assert send(again, 2 * LATER).status == "duplicate"
    else:
        with pytest.raises(DecisionConflict, match="is there with occurred_at 2026-11-22T1"):
            send(again, 2 * LATER)
    [row] = rows(ledger)
    assert row.occurred_at == now + (LATER if first is None else timedelta(minutes=first))


def test_a_revision_that_comes_back_with_another_time_is_a_conflict(tell, ledger, now):
    first = tell(occurred_at=now + timedelta(minutes=30))
    revision = {"revises": first.outcome_id, "value": 2.0}
    told = revision | {"occurred_at": now + timedelta(minutes=40)}
    assert [tell(**told).status for _ in range(2)] == ["recorded", "duplicate"]
    with pytest.raises(DecisionConflict, match="is there with occurred_at 2026-11-22T10:40"):
        tell(**revision)  # it would keep the time of the first outcome


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
            {"occurred_at": "2026-11-21T10:00:00Z"},
            InvalidRequest,
            "occurred_at is 2026-11-21T10:00:00.*before the decision of 2026-11-22T10:00:00",
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


@pytest.mark.parametrize("seconds", [1, 300])
def test_an_outcome_of_a_slow_clock_counts_as_of_the_showing(tell, ledger, now, seconds):
    stamp = now - timedelta(seconds=seconds)
    assert [tell(occurred_at=stamp).status for _ in range(2)] == ["recorded", "duplicate"]
    assert [row.occurred_at for row in rows(ledger)] == [now]


def test_an_outcome_without_a_time_counts_at_the_earliest_as_of_the_showing(
    ledger, toy_catalog, now
):
    decided(ledger, "d1", now, {"call_back": 7})
    request = OutcomeRequest(decision_id="d1", outcome="clicked")
    behind = now - timedelta(seconds=3)  # the clock of this worker, behind that which decided
    asyncio.run(record_outcome(request, ledger, toy_catalog, behind))
    assert [row.occurred_at for row in rows(ledger)] == [now]


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
    request = OutcomeRequest(decision_id="d1", outcome="accepted", action_id="call_back")

    async def all_at_once() -> list[OutcomeAnswer]:
        inputs = (record_outcome(request, ledger, toy_catalog, now + LATER) for _ in range(20))
        return await asyncio.gather(*inputs)

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


def test_a_generated_id_that_belongs_to_another_outcome_is_replaced_by_a_long_one(
    tell, ledger, now
):
    """Decision ids may hold colons, and callers and tables name their outcomes as they like."""
    decided(ledger, "d1:call_back", now, {"discount": 14})
    tell(decision_id="d1:call_back", outcome_id="d1:call_back:accepted")
    told = [tell(), tell()]
    assert [one.status for one in told] == ["recorded", "duplicate"]
    assert {one.outcome_id for one in told} == {"d1:call_back:accepted:2-9"}
    assert {row.decision_id for row in rows(ledger)} == {"d1", "d1:call_back"}
    tell("clicked", outcome_id=f"{told[0].outcome_id}:retracted")
    back = [tell(retracts=told[0].outcome_id), tell(retracts=told[0].outcome_id)]
    assert [one.status for one in back] == ["recorded", "duplicate"]
    assert len(rows(ledger)) == 4


# Activated later ---------------------------------------------------------------------------------


def test_an_outcome_of_a_decision_that_nobody_activated_is_a_conflict(tell, ledger, now):
    decided(ledger, "d3", now, {"discount": 14}, activated_at=None, served=False)
    with pytest.raises(DecisionConflict, match="'d3' .*nobody has activated it.* /v1/activate"):
        tell(decision_id="d3")
    assert rows(ledger) == []


def test_outcomes_of_a_decision_that_was_activated_later_count_from_then(tell, ledger, now):
    activation = json.dumps({"activated": ["discount"]})
    late = now + timedelta(hours=1)
    windows = {"call_back": 7, "discount": 14}
    decided(ledger, "d3", now, windows, activated_at=late, activation=activation)
    with pytest.raises(InvalidRequest, match="before the decision of .* was shown"):
        tell(decision_id="d3", occurred_at=now + timedelta(minutes=54))
    with pytest.raises(InvalidRequest, match="action_id is 'call_back'.*'d3' has shown: discount"):
        tell(decision_id="d3", action_id="call_back")
    tell(decision_id="d3", occurred_at=late)
    assert rows(ledger)[0].action_id == "discount"


def test_where_all_was_withdrawn_nothing_can_follow(tell, ledger, now):
    activation = json.dumps({"activated": []})
    decided(ledger, "d3", now, {"discount": 14}, activation=activation)
    with pytest.raises(InvalidRequest, match="has shown: none, as all were withdrawn"):
        tell(decision_id="d3")


# Revised -----------------------------------------------------------------------------------------


def test_a_revision_says_what_is_new_and_keeps_the_rest(tell, ledger, now):
    first = tell(value=20.0, occurred_at=now + timedelta(hours=1), shared_id="order-7")
    answer = tell(value=15.0, revises=first.outcome_id)
    assert answer.status == "recorded"
    new = next(row for row in rows(ledger) if row.revises)
    assert (new.revises, new.outcome, new.value) == (first.outcome_id, "accepted", 15.0)
    assert (new.occurred_at, new.shared_id) == (now + timedelta(hours=1), "order-7")


def test_a_revision_may_change_all_of_it(tell, ledger, now):
    first = tell(value=20.0, occurred_at=now + timedelta(hours=1), shared_id="order-7")
    earlier = now + timedelta(minutes=5)
    new = {"value": 1.0, "occurred_at": earlier, "shared_id": "order-8"}
    tell("rejected", revises=first.outcome_id, **new)
    row = next(row for row in rows(ledger) if row.revises)
    assert (row.outcome, row.value, row.occurred_at, row.shared_id) == (
        *("rejected", 1.0, earlier, "order-8"),
    )


def test_the_same_revision_again_is_a_duplicate_and_another_one_a_conflict(tell, ledger):
    first = tell(value=20.0)
    once = tell(value=15.0, revises=first.outcome_id)
    again = tell(value=15.0, revises=first.outcome_id)
    assert (again.status, again.outcome_id) == ("duplicate", once.outcome_id)
    with pytest.raises(DecisionConflict, match="is there with value 15.0"):
        tell(value=14.0, revises=first.outcome_id)
    with pytest.raises(DecisionConflict, match=f"was revised by '{once.outcome_id}'.*Name '"):
        tell(value=14.0, revises=first.outcome_id, outcome_id="mine")
    assert tell(value=14.0, revises=once.outcome_id).status == "recorded"
    assert len(rows(ledger)) == 3


def test_what_was_revised_is_taken_back_by_its_revision(tell):
    first = tell()
    revision = tell("rejected", revises=first.outcome_id)
    with pytest.raises(DecisionConflict, match=f"Name '{revision.outcome_id}'"):
        tell(retracts=first.outcome_id)
    assert tell(retracts=revision.outcome_id).status == "recorded"


def test_what_was_taken_back_cannot_be_revised(tell):
    first = tell()
    tell(retracts=first.outcome_id)
    with pytest.raises(DecisionConflict, match="was taken back.*Send the outcome anew"):
        tell("rejected", revises=first.outcome_id)


@pytest.mark.parametrize(
    "fields",
    [{"revises": "o9"}, {"decision_id": "d2"}, {"action_id": "discount"}],
    ids=["unknown", "of another decision", "of another action"],
)
def test_only_an_outcome_of_the_same_decision_and_action_can_be_revised(tell, fields):
    first = tell()
    with pytest.raises(DecisionUnknown, match="revises is '.*same decision and action"):
        tell("rejected", **({"revises": first.outcome_id} | fields))


def test_a_retraction_cannot_be_revised(tell):
    back = tell(retracts=tell().outcome_id)
    with pytest.raises(DecisionUnknown, match="itself no retraction"):
        tell(revises=back.outcome_id)


def test_an_outcome_of_a_lower_rank_is_revised_without_naming_its_action(tell, ledger):
    first = tell(action_id="discount")
    tell("rejected", revises=first.outcome_id)
    assert {row.action_id for row in rows(ledger)} == {"discount"}


def test_one_call_does_not_revise_and_retract(tell):
    with pytest.raises(ValueError, match="retracts and revises are both there"):
        tell(revises="o1", retracts="o2")


# Shared, and seen by cool-downs ------------------------------------------------------------------


def test_what_happened_has_a_name_that_several_decisions_may_share(tell, ledger):
    tell(shared_id="order-7")
    tell(decision_id="d2", shared_id="order-7")
    assert {(row.decision_id, row.shared_id) for row in rows(ledger)} == {
        ("d1", "order-7"),
        ("d2", "order-7"),
    }
    with pytest.raises(DecisionConflict, match="is there with shared_id 'order-7'"):
        tell(shared_id="order-8")


def test_a_name_that_everything_shares_is_refused(tell, ledger, monkeypatch):
    monkeypatch.setattr(outcomes, "MOST_SHARED", 2)
    tell(shared_id="null")
    tell("rejected", shared_id="null")
    with pytest.raises(InvalidRequest, match="shared_id is 'null', of which 2 outcomes"):
        tell(decision_id="d2", shared_id="null")
    assert tell(shared_id="null").status == "duplicate"


def test_what_was_said_is_kept_with_the_contact_and_goes_with_it(tell, ledger, now):
    def said(decision_id: str = "d1") -> dict[str, object]:
        columns = tables.contacts.c
        query = sa.select(columns.action_id, columns.outcomes_at).where(
            columns.decision_id == decision_id
        )
        found = ledger.read(lambda connection: connection.execute(query).all())
        return {row.action_id: json.loads(row.outcomes_at or "{}") for row in found}

    at = tables.micros(now + LATER)
    first = tell("rejected")
    assert said() == {"call_back": {"rejected": at}, "discount": {}}
    revised = tell("clicked", revises=first.outcome_id)
    assert said() == {"call_back": {"clicked": at}, "discount": {}}
    tell(retracts=revised.outcome_id)
    assert said() == {"call_back": {}, "discount": {}}


@pytest.mark.parametrize("seed", range(4))
def test_one_outcome_at_a_time_gives_what_all_of_them_give(tell, ledger, now, seed):
    random = Random(seed)
    told = []
    for number in range(40):
        name = random.choice(["clicked", "rejected", "accepted"])
        fields = {"outcome_id": f"o{number}", "action_id": random.choice(["call_back", "discount"])}
        fields["occurred_at"] = now + timedelta(minutes=random.randrange(100))
        if told and random.random() < 0.4:
            fields = {"outcome_id": f"o{number}"} | {
                random.choice(["retracts", "revises"]): random.choice(told)
            }
        with suppress(DecisionConflict, DecisionUnknown):
            told.append(tell(name, **fields).outcome_id)
    columns = tables.contacts.c
    query = sa.select(columns.action_id, columns.outcomes_at).where(columns.decision_id == "d1")

    def read(connection):
        return {
            row.action_id: json.loads(row.outcomes_at or "{}") for row in connection.execute(query)
        }

    one_by_one = ledger.read(read)
    ledger.write_now(lambda c: update_outcomes_at(c, ["d1"]))
    assert one_by_one == ledger.read(read) and any(one_by_one.values())


def test_an_outcome_reads_the_others_of_its_decision_only_if_it_changes_one(tell, ledger):
    texts = []
    heard = lambda *about: texts.append(about[2])  # noqa: E731
    sa.event.listen(ledger.engine, "before_cursor_execute", heard)
    first = tell("clicked", outcome_id="o1")
    of_one = [text for text in texts if "FROM outcomes" in text]
    tell("clicked", outcome_id="o2", retracts=first.outcome_id)
    sa.event.remove(ledger.engine, "before_cursor_execute", heard)
    assert of_one and all("outcome_id =" in text or "LIMIT" in text for text in of_one)


def test_a_decision_of_which_too_much_was_told_takes_only_retractions(tell, monkeypatch):
    monkeypatch.setattr(outcomes, "MOST_OUTCOMES", 2)
    tell("clicked", outcome_id="o1")
    tell("clicked", outcome_id="o2")
    with pytest.raises(InvalidRequest, match="decision_id is 'd1', of which 2 outcomes were told"):
        tell("clicked", outcome_id="o3")
    assert tell("clicked", outcome_id="o2").status == "duplicate"
    assert tell("clicked", decision_id="d2", outcome_id="o4").status == "recorded"
    for number, name in enumerate(["o1", "o2"]):
        assert tell(retracts=name, outcome_id=f"r{number}").status == "recorded"
    with pytest.raises(InvalidRequest, match="of which 4 outcomes were told"):
        tell(retracts="o1", outcome_id="r3")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e16, -1e16])
def test_a_value_that_cannot_be_counted_with_is_refused(tell, ledger, value):
    with pytest.raises(ValueError, match="value"):
        tell(value=value)
    assert rows(ledger) == []
