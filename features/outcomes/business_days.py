"""Days on the clock of the business, by which rewards are summed; they may have 23 or 25 hours."""

from __future__ import annotations

from datetime import date, datetime, time, tzinfo

from features.ledger import tables

_FIRST = date(1970, 1, 1).toordinal()


def day_at(at_us: int, zone: tzinfo) -> int:
    """Return the day of a time.

    Parameters
    ----------
    at_us : int
        Microseconds since 1970 (UTC).

    Returns
    -------
    int
        Days since 1970 on the clock of the zone.
    """
    return tables.from_micros(at_us).astimezone(zone).toordinal() - _FIRST


def span_of_day(day: int, zone: tzinfo) -> tuple[int, int]:
    """Return the beginning and the end of a day, in microseconds since 1970 (UTC)."""
    # A midnight that the clock skips is read as the moment at which it is put forward.
    begin, end = (
        tables.micros(datetime.combine(date.fromordinal(_FIRST + one), time(), zone))
        for one in (day, day + 1)
    )
    return begin, end
