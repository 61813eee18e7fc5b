"""The clock is read here and nowhere else; every other function is given the time.

Where the time of the business may be a simulated one (`features.ledger.simulated_clock`), a `Clock`
is handed over. Time-outs, rate limits and the access log go by the real clock in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Read the current time, aware, in UTC."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Read a clock that never runs backwards, in seconds; only differences of it mean anything."""
    return time.monotonic()
