"""Packs the days of the events of one customer, and finds when the customer left and came back."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_ROW = struct.Struct("<iid")
# The time of an event of leaving or of coming back, in microseconds since 1970, and whether it
# brings back. Of two at one instant, the one that brings back is the second. Where a silence counts
# as leaving: an event that ends it, and False.
Moment = tuple[int, bool]


class EventDay(NamedTuple):
    """The events of one customer on one day.

    Attributes
    ----------
    day : int
        Days since 1970 (UTC).
    left : int
        1 if the customer left on that day, by the domain's definition of churn, and -1 if the
        customer came back; 0 for both. So the sum of all days is 1 while the customer is gone. A
        silence ends on the day on which it has lasted ``silent_days``: a row of a day to come holds
        if no event comes before.
    value : float
        The margin of the events, in the domain's currency (`Objective.margin`).
    """

    day: int
    left: int
    value: float


class PrunedEvents(NamedTuple):
    """The value of the events of a customer that retention has deleted.

    Attributes
    ----------
    days
        Their margin, and the customer's leaving and coming back up to ``last``.
    last
        The last moment that was deleted; None if there is none.
    """

    days: tuple[EventDay, ...] = ()
    last: Moment | None = None


NOTHING_PRUNED = PrunedEvents()


def leaving_changes(
    moments: Iterable[Moment], silent_us: int, last: Moment | None, until_us: int
) -> Iterator[tuple[int, int]]:
    """Yield the times at which a customer left, with 1, and came back, with -1.

    Parameters
    ----------
    moments
        In any order. Those that are not after ``last`` change nothing.
    silent_us
        The length of a silence that counts as leaving, in microseconds; 0: the event itself does.
    last
        The moment up to which changes are known; they are not yielded.
    until_us
        The end of the silence that still lasts.
    """
    known = [] if last is None else [last]
    following = [*known, *sorted(one for one in moments if last is None or one > last)]
    if silent_us:
        yield from _silences([at_us for at_us, _ in following], silent_us, until_us)
        return
    gone = last is not None and not last[1]
    for at_us, is_back in following[len(known) :]:
        if gone == is_back:
            gone = not is_back
            yield at_us, 1 if gone else -1


def _silences(times: Sequence[int], silent_us: int, until_us: int) -> Iterator[tuple[int, int]]:
    for number, at_us in enumerate(times, start=1):
        after = times[number] if number < len(times) else None
        if (until_us if after is None else after) - at_us > silent_us:
            yield at_us + silent_us, 1
            if after is not None:
                yield after, -1


def pack_event_days(rows: Iterable[EventDay]) -> bytes:
    """Pack rows, in the order of days."""
    return b"".join(_ROW.pack(*row) for row in sorted(rows))


def unpack_event_days(packed: bytes) -> list[EventDay]:
    """Unpack what `pack_event_days` has packed."""
    return [EventDay(*row) for row in _ROW.iter_unpack(packed)]


def add_up(rows: Iterable[EventDay]) -> list[EventDay]:
    """Add up the rows of each day; days on which nothing is left have no row."""
    left, values = dict[int, int](), dict[int, float]()
    for row in rows:
        left[row.day] = left.get(row.day, 0) + row.left
        values[row.day] = values.get(row.day, 0.0) + row.value
    return [
        EventDay(day, left[day], values[day]) for day in sorted(left) if left[day] or values[day]
    ]
