"""Figures as people read them: counts, shares, times, and moments."""

from __future__ import annotations

from datetime import UTC, datetime

GAP = "\u00a0"  # between a number and its unit, so that no line ends there
NONE = "–"
_UNITS = (("s", 1.0, 90.0), ("min", 60.0, 5400.0), ("h", 3600.0, 172_800.0))
_DAY_S = 86_400.0


def count(number: int) -> str:
    """Write a count, as in 16,768."""
    return f"{number:,}"


def percent(share: float | None) -> str:
    """Write a share, as in 62 % or 0.4 %; a share above 0 is never written as 0 %."""
    if share is None:
        return NONE
    if 0 < share < 0.001:
        return f"< 0.1{GAP}%"
    if 0 < share < 0.0995:
        return f"{100 * share:.1f}{GAP}%"
    # Nothing but all is 100 %.
    return f"{min(round(100 * share), 99 if share < 1 else 100)}{GAP}%"


def duration(seconds: float | None) -> str:
    """Write a time, as in 45 s, 12 min, 2.7 h or 8.1 days; a dash without one."""
    if seconds is None:
        return NONE
    for unit, size, below in _UNITS:
        if seconds < below:
            return f"{_short(seconds / size)}{GAP}{unit}"
    return f"{_short(seconds / _DAY_S)}{GAP}days"


def moment(at_us: int) -> str:
    """Write an instant, microseconds since 1970, as in 2026-11-29 21:40 UTC."""
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC"


def several(number: int, one: str, more: str | None = None) -> str:
    """Write a count with its unit, as in 1 journey or 2 journeys."""
    return f"{count(number)}{GAP}{one if number == 1 else more or one + 's'}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"
