"""The clock is read here and nowhere else; every other function is given the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Read the current time, aware, in UTC."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Read a clock that never runs backwards, in seconds; only differences of it mean anything."""
    return time.monotonic()
