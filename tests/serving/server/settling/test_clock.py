"""Tests of the route that sets the simulated clock, and of what `/readyz` says about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from features.clock import utc_now
from features.errors import InvalidRequest
from features.ledger.simulated_clock import SimulatedClock
from features.settings import load_settings
from serving.contract.clock import ClockRequest
from serving.server.settling.clock import clock_fields, move_clock

MARCH = datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_the_answer_and_readyz_tell_the_time_and_whether_something_is_being_done(ledger):
    clock = SimulatedClock(ledger).begin()
    request = ClockRequest(now=MARCH, settle=True)
    answer = asyncio.run(move_clock(request, ledger, clock))
    assert (answer.now, answer.settling, answer.settled_until) == (MARCH, True, None)
    assert clock_fields(clock, load_settings({"NBA_WORKERS": "2"})) == {
        "clock": "simulated",
        "now": "2026-03-01T08:00:00+00:00",
        "settled_until": None,
        "settling": ["folded", "learned", "summed", "worker 1", "worker 2"],
        "not_settled": ["journeys"],
    }
    without = load_settings({"NBA_JOURNEYS": "false"})
    assert clock_fields(clock, without)["not_settled"] == []


def test_the_real_clock_is_not_set_and_nothing_is_said_about_it(ledger):
    with pytest.raises(InvalidRequest, match="NBA_CLOCK=simulated"):
        asyncio.run(move_clock(ClockRequest(now=MARCH), ledger, utc_now))
    assert clock_fields(utc_now, load_settings({})) == {}
