"""Refuses times to come and outcomes before their decisions, with five minutes for slow clocks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.errors import InvalidData
from features.ingest.checks.times import DecisionTimes, refuse_times_to_come
from features.ingest.contract_tables import ParsedRows
from features.journeys.events import Event
from features.ledger import tables

MINUTE, TICK = timedelta(minutes=1), timedelta(microseconds=1)


def _parsed(table, column, at):
    if table == "events":
        return ParsedRows(events=[Event("e1", ("c1",), "visit", at, "app", {})])
    return ParsedRows(rows={tables.metadata.tables[table]: [{column: at, "decision_id": "d1"}]})


TIMES = [
    ("customers", "as_of"),
    ("events", "occurred_at"),
    ("decisions", "decided_at"),
    ("outcomes", "occurred_at"),
]


@pytest.mark.parametrize(("table", "column"), TIMES)
def test_a_time_to_come_is_refused_by_column(now, table, column):
    refuse_times_to_come(_parsed(table, column, now + 5 * MINUTE), now)
    with pytest.raises(InvalidData, match=f"^{column} is .*Expected a time that has passed"):
        refuse_times_to_come(_parsed(table, column, now + 5 * MINUTE + TICK), now)


def test_attributes_without_a_time_are_not_refused(now):
    refuse_times_to_come(_parsed("customers", "as_of", None), now)


def _store(ledger, now, activated_at):
    names = {"decision_id": "d1", "subject": "c1", "customer_id": "c1", "action_id": "discount"}
    times_of = {"decided_at": now, "activated_at": activated_at, "window_ends_at": now}
    row = {**names, **times_of, "channel": "app", "served": False, "probability": None}
    ledger.write_now(lambda c: tables.insert_new(c, tables.decisions, [row]))


@pytest.mark.parametrize("stored", [True, False])
def test_an_outcome_before_its_decision_is_refused(ledger, now, stored):
    times, decision = DecisionTimes(ledger), _parsed("decisions", "decided_at", now)
    if stored:
        _store(ledger, now, now)
    else:
        times.add(decision)
    outcomes = [_parsed("outcomes", "occurred_at", now + at) for at in (0 * MINUTE, -5 * MINUTE)]
    early = _parsed("outcomes", "occurred_at", now - 5 * MINUTE - TICK)
    times.look_up([*outcomes, early])
    for one in outcomes:
        times.check(one)
    with pytest.raises(
        InvalidData, match="Expected at most 5 minutes before .*, when decision 'd1'"
    ):
        times.check(early)


def test_an_outcome_of_a_decision_that_nobody_knows_is_left_to_the_load(ledger, now):
    times, outcome = DecisionTimes(ledger), _parsed("outcomes", "occurred_at", now)
    times.look_up([outcome])
    times.check(outcome)
    assert times.left_out.counts.total() == 1


def test_an_outcome_of_a_decision_that_was_not_shown_is_not_left_out(ledger, now):
    _store(ledger, now, None)
    times, early = DecisionTimes(ledger), _parsed("outcomes", "occurred_at", now - MINUTE * 60)
    times.look_up([early])
    times.check(early)
    assert times.left_out.counts.total() == 0


def test_the_first_time_that_a_decision_is_told_counts(ledger, now):
    times = DecisionTimes(ledger)
    for at in (now, now + 60 * MINUTE):
        times.add(_parsed("decisions", "decided_at", at))
    times.check(_parsed("outcomes", "occurred_at", now))
