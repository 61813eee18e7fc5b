"""Tests of the simulated clock: it is kept in the ledger, and moves forward only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.clock import utc_now
from features.errors import InvalidRequest, InvalidSetting
from features.ledger import tables
from features.ledger.simulated_clock import (
    SimulatedClock,
    check_clock,
    clock_of,
    finish_settle,
    newest_time,
    note_part,
    read_clock,
    read_parts,
    set_clock,
)
from features.settings import load_settings

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
SIMULATED = load_settings({"NBA_CLOCK": "simulated"})
REAL = load_settings({})
both = pytest.mark.databases("sqlite", "postgres")


def seen(at: datetime) -> dict[str, object]:
    """An event of a customer at a time."""
    return {
        "event_id": f"e-{at.timestamp()}",
        "customer_id": "c1",
        "subject": "c1",
        "type": "visit",
        "occurred_at": at,
        "channel": "app",
        "properties": "{}",
    }


@both
def test_all_who_read_the_clock_have_the_time_that_one_has_set(ledger):
    clock, other = SimulatedClock(ledger), SimulatedClock(ledger)
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    assert clock() == other() == MARCH
    ledger.write_now(lambda c: set_clock(c, MARCH + DAY, settle=False))
    assert clock() == other() == SimulatedClock(ledger)() == MARCH + DAY


@both
def test_the_clock_moves_forward_only_and_the_refusal_names_both_times(ledger):
    clock = SimulatedClock(ledger)
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))  # the same is fine
    with pytest.raises(InvalidRequest, match="2026-02-28T08:00:00Z.*2026-03-01T08:00:00Z"):
        ledger.write_now(lambda c: set_clock(c, MARCH - DAY, settle=True))
    assert clock() == MARCH and not clock.state().is_settling


def test_the_clock_of_an_empty_ledger_begins_now_and_may_be_set_back_once(ledger):
    before = utc_now()
    clock = SimulatedClock(ledger)
    assert before <= clock() <= utc_now()
    assert clock() == clock()
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    with pytest.raises(InvalidRequest, match="the clock stands at"):
        ledger.write_now(lambda c: set_clock(c, MARCH - DAY, settle=False))


def test_the_clock_begins_at_the_newest_time_of_the_ledger_and_is_not_set_before_it(ledger):
    assert ledger.read(newest_time) is None
    rows = [seen(MARCH), seen(MARCH - DAY)]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    assert SimulatedClock(ledger)() == MARCH
    with pytest.raises(InvalidRequest, match="the ledger knows of things until 2026-03-01"):
        ledger.write_now(lambda c: set_clock(c, MARCH - DAY, settle=False))


@both
def test_each_request_to_settle_has_a_number_and_is_met_once(ledger):
    clock = SimulatedClock(ledger)
    assert not clock.state().is_settling
    first = ledger.write_now(lambda c: set_clock(c, MARCH, settle=True))
    second = ledger.write_now(lambda c: set_clock(c, MARCH, settle=True))
    assert (first.settles_asked, second.settles_asked) == (1, 2) and second.is_settling
    ledger.write_now(lambda c: finish_settle(c, 1, MARCH))
    assert clock.state().is_settling and clock.state().settled_until == MARCH
    ledger.write_now(lambda c: finish_settle(c, 2, MARCH))
    ledger.write_now(lambda c: finish_settle(c, 1, MARCH - DAY))  # one who comes late
    assert not clock.state().is_settling and clock.state().settled_until == MARCH


def test_setting_the_clock_without_settle_leaves_an_earlier_request_to_settle(ledger):
    clock = SimulatedClock(ledger)
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=True))
    ledger.write_now(lambda c: set_clock(c, MARCH + DAY, settle=False))
    assert clock.state().is_settling and clock() == MARCH + DAY


@both
def test_each_part_notes_the_last_request_for_which_it_has_done_its_work(ledger):
    for part, settle in (("learner", 1), ("sums", 1), ("learner", 2)):
        ledger.write_now(lambda c, part=part, settle=settle: note_part(c, part, settle))
    assert ledger.read(read_parts) == {"learner": 2, "sums": 1}


def test_a_ledger_goes_by_the_real_clock_until_one_has_simulated_it(ledger):
    assert clock_of(REAL, ledger) is utc_now
    check_clock(REAL, ledger)
    assert ledger.read(read_clock) is None  # nothing was written
    assert isinstance(clock_of(SIMULATED, ledger), SimulatedClock)
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    assert clock_of(REAL, ledger)() == MARCH  # commands agree whatever their settings say
    check_clock(SIMULATED, ledger)
    with pytest.raises(InvalidSetting, match="NBA_CLOCK=simulated"):
        check_clock(REAL, ledger)
