"""Tests of the simulated clock: it is kept in the ledger, and moves forward only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.clock import utc_now
from features.errors import InvalidRequest, InvalidSetting
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import (
    ClockState,
    SimulatedClock,
    check_clock,
    clock_of,
    finish_settle,
    has_begun,
    newest_time,
    note_part,
    parts_of,
    read_clock,
    set_clock,
    settle_due,
)
from features.settings import load_settings

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
SIMULATED = load_settings({"NBA_CLOCK": "simulated"})
REAL = load_settings({})
both = pytest.mark.databases("sqlite", "postgresql")


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
    clock, other = SimulatedClock(ledger).begin(), SimulatedClock(ledger)
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    assert clock() == other() == MARCH
    ledger.write_now(lambda c: set_clock(c, MARCH + DAY, settle=False))
    assert clock() == other() == SimulatedClock(ledger)() == MARCH + DAY


@both
def test_the_clock_moves_forward_only_and_the_refusal_names_both_times(ledger):
    clock = SimulatedClock(ledger).begin()
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))  # the same is fine
    with pytest.raises(InvalidRequest, match="2026-02-28T08:00:00Z.*2026-03-01T08:00:00Z"):
        ledger.write_now(lambda c: set_clock(c, MARCH - DAY, settle=True))
    assert clock() == MARCH and not clock.state().is_settling


def test_the_clock_of_an_empty_ledger_begins_now_and_may_be_set_back_once(ledger):
    before = utc_now()
    clock = SimulatedClock(ledger).begin()
    assert before <= clock() <= utc_now()
    assert clock() == clock()
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    with pytest.raises(InvalidRequest, match="the clock stands at"):
        ledger.write_now(lambda c: set_clock(c, MARCH - DAY, settle=False))


def test_the_clock_begins_at_the_newest_time_of_the_ledger_and_is_not_set_before_it(ledger):
    assert ledger.read(newest_time) is None
    rows = [seen(MARCH), seen(MARCH - DAY)]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    assert SimulatedClock(ledger)() == SimulatedClock(ledger).begin()() == MARCH
    with pytest.raises(InvalidRequest, match="the ledger knows of things until 2026-03-01"):
        ledger.write_now(lambda c: set_clock(c, MARCH - DAY, settle=False))


def ask(ledger: Ledger, now: datetime, settle: bool = True) -> ClockState:
    return ledger.write_now(lambda c: set_clock(c, now, settle))


def note(ledger: Ledger, part: str, settle: int, until: datetime) -> bool:
    """Note the work of one part; say if all is done then."""
    ledger.write_now(lambda c: note_part(c, part, settle, until))
    return ledger.write_now(lambda c: finish_settle(c, PARTS))


PARTS = parts_of(workers=1)


@both
def test_a_request_to_settle_is_met_when_all_parts_have_done_their_work(ledger):
    clock = SimulatedClock(ledger).begin()
    ask(ledger, MARCH)
    assert PARTS == ["folded", "learned", "summed", "worker 1"]
    assert clock.state_of(PARTS)[1] == PARTS
    done = [note(ledger, part, 1, MARCH) for part in PARTS]
    assert done == [False, False, False, True]
    assert clock.state() == ClockState(MARCH, True, 1, 1, MARCH)
    assert clock.state_of(PARTS)[1] == []


def test_work_for_an_earlier_request_does_not_meet_a_later_one(ledger):
    """Work that came between the two requests is to be done, too, though the time is the same."""
    clock = SimulatedClock(ledger).begin()
    for _ in range(2):
        ask(ledger, MARCH)
    assert not any(note(ledger, part, 1, MARCH) for part in PARTS)
    assert clock.state().is_settling
    assert [note(ledger, part, 2, MARCH) for part in PARTS][-1]
    assert ask(ledger, MARCH).settled_until is None  # anew
    assert ask(ledger, MARCH, settle=False).is_settling


def test_all_is_settled_up_to_the_earliest_time_of_the_parts(ledger):
    """The clock was set to another day, without settling, while the parts were at work."""
    clock = SimulatedClock(ledger).begin()
    ask(ledger, MARCH)
    ask(ledger, MARCH + DAY, settle=False)
    for part in PARTS:
        note(ledger, part, 1, MARCH if part == "learned" else MARCH + DAY)
    assert clock.state().settled_until == MARCH and clock() == MARCH + DAY


def test_a_part_settles_after_those_before_it_and_once(ledger):
    SimulatedClock(ledger).begin()

    def due(part: str, *after: str) -> int | None:
        return ledger.read(lambda c: settle_due(c, part, after))

    assert due("learned", "folded") is None  # nobody has asked
    ask(ledger, MARCH)
    assert due("folded") == 1 and due("learned", "folded") is None
    note(ledger, "folded", 1, MARCH)
    assert due("folded") is None and due("learned", "folded") == 1


def test_a_clock_has_begun_when_it_was_set_or_something_has_happened(ledger):
    clock = SimulatedClock(ledger).begin()
    assert not clock.has_begun() and not has_begun(clock)
    assert has_begun(utc_now)
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, [seen(MARCH)]))
    assert clock.has_begun() and has_begun(clock)


def test_a_clock_that_was_set_has_begun_though_nothing_has_happened(ledger):
    clock = SimulatedClock(ledger).begin()
    assert not clock.has_begun()
    ask(ledger, MARCH, settle=False)
    assert clock.has_begun() and SimulatedClock(ledger).has_begun()


def test_a_ledger_goes_by_the_real_clock_until_one_has_simulated_it(ledger):
    assert clock_of(REAL, ledger) is utc_now
    check_clock(REAL, ledger)
    assert ledger.read(read_clock) is None  # nothing was written
    assert isinstance(clock := clock_of(SIMULATED, ledger), SimulatedClock)
    assert ledger.read(read_clock) is None  # nor is it by a command
    clock.begin()
    ledger.write_now(lambda c: set_clock(c, MARCH, settle=False))
    assert clock_of(REAL, ledger)() == MARCH  # commands agree whatever their settings say
    check_clock(SIMULATED, ledger)
    with pytest.raises(InvalidSetting, match="NBA_CLOCK=simulated"):
        check_clock(REAL, ledger)
