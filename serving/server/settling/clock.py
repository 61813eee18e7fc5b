"""Sets the simulated clock for a caller."""

from __future__ import annotations

from typing import Any

from features.clock import Clock
from features.errors import InvalidRequest
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import SimulatedClock, parts_of, set_clock
from features.settings import Settings
from serving.contract.clock import ClockAnswer, ClockRequest

JOURNEYS = "journeys"  # counted by the clock, too, but every few seconds: no request waits for them


async def move_clock(request: ClockRequest, ledger: Ledger, clock: Clock) -> ClockAnswer:
    """Set the clock to the same or a later time; with ``settle``, ask all parts to settle.

    Raises
    ------
    InvalidRequest
        If the server goes by the real clock, or the time is earlier than that of its clock.
    """
    if not isinstance(clock, SimulatedClock):
        raise InvalidRequest(
            f"now is {request.now.isoformat()}, and the clock of this server is the real one.",
            expected="a server with a simulated clock",
            remedy="Start one for simulations with NBA_CLOCK=simulated and an NBA_HOME of its own.",
        )
    state = await ledger.write(lambda c: set_clock(c, request.now, request.settle))
    return ClockAnswer(now=state.now, settling=state.is_settling, settled_until=state.settled_until)


def clock_fields(clock: Clock, settings: Settings) -> dict[str, Any]:
    """Return what `/readyz` says about a simulated clock; nothing about the real one."""
    if not isinstance(clock, SimulatedClock):
        return {}
    state, waits = clock.state_of(parts_of(settings.workers))
    until = state.settled_until
    return {
        "clock": "simulated",
        "now": state.now.isoformat(),
        "settled_until": until.isoformat() if until else None,
        "settling": waits,
        "not_settled": [JOURNEYS] if settings.journeys else [],
    }
