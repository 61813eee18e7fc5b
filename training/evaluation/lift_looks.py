"""Computes what each look at an experiment sees: moments of the values of each arm up to a day.

A customer is in the arm that its id was drawn for, from the day on which it was first met, whatever
was done (intention to treat). The value up to a day is that of `CustomerValues`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from features.rewards.customer_values import CustomerValues
from training.arrays import Floats, Ints
from training.evaluation.confidence_sequences import customer_clock
from training.evaluation.cuped import ArmMoments, adjusted_moments

MOST_LOOKS = 60  # days of a longer experiment are thinned


class Looks(NamedTuple):
    """All looks, the last one at the last day.

    Attributes
    ----------
    day : shape (n_looks,)
        Days since 1970; a look is at the end of its day.
    clock : shape (n_looks,)
        Intrinsic time; see `customer_clock`.
    moments : arrays of shape (n_looks, n_arms)
        Of the values of the customers met by then.
    left : shape (n_looks, n_arms)
        Customers who have left by then, and are not back.
    """

    day: Ints
    clock: Floats
    moments: ArmMoments
    left: Floats


def look_at(
    values: CustomerValues, arm: Ints, arms: int, first_day: int | None, last_day: int
) -> Looks | None:
    """Compute the looks of each day; None if no customer was met by the last day.

    Parameters
    ----------
    arm : shape (n_customers,)
        Index of the arm of each customer, below ``arms``.
    first_day : int or None
        The first day whose value counts; None: the first day on which a customer was met.
    last_day : int
        Of the last look.
    """
    met = values.met_day.astype(np.int64)
    begin = met if first_day is None else np.maximum(met, first_day)
    if not (begin <= last_day).any():
        return None
    order = np.lexsort((begin, arm))  # the customers of an arm who are met are the first of it
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    begin = begin[order]
    ends = np.searchsorted(arm[order], np.arange(arms + 1))
    days = _days(int(begin.min()), last_day)
    value = np.zeros(len(order))
    # Of a period, only who left in it counts.
    gone = values.gone_before[order].astype(np.float64) * (first_day is None)
    before, rows = values.before[order], _RowsOfLooks.of(values, place, days)
    moments, left = list[ArmMoments](), list[list[float]]()
    for look, day in enumerate(days):
        rows.add(look, value, gone)
        some = [
            slice(one, one + int(np.searchsorted(begin[one:end], day, side="right")))
            for one, end in pairwise(ends.tolist())
        ]
        moments.append(adjusted_moments(value, before, some))
        left.append([float((gone[one] > 0).sum()) for one in some])
    stacked = ArmMoments(*(np.stack(part) for part in zip(*moments, strict=True)))
    return Looks(days, customer_clock(begin, days), stacked, np.array(left))


def _days(first: int, last: int) -> Ints:
    """The days to look at: all, or of a long time some of equal distance with the last one."""
    count = last - first + 1
    if count <= MOST_LOOKS:
        return np.arange(first, last + 1)
    return np.unique(np.linspace(first, last, MOST_LOOKS).astype(np.int64))


class _RowsOfLooks(NamedTuple):
    """The rows of values in the order of days, and where those of each look end."""

    place: Ints
    value: Floats
    left: Floats
    ends: Sequence[int]

    @classmethod
    def of(cls, values: CustomerValues, place: Ints, days: Ints) -> _RowsOfLooks:
        rows = values.days
        # NumPy sorts numbers of 16 bits by radix, ten times as fast.
        since = np.clip(rows.day - int(days[0]), 0, (1 << 16) - 1).astype(np.uint16)
        order = np.argsort(since, kind="stable")
        left = rows.left.astype(np.float64)
        value = rows.margin - rows.cost - left * values.remaining[rows.customer]
        ends = np.searchsorted(rows.day[order], days, side="right")
        return cls(place[rows.customer][order], value[order], left[order], ends.tolist())

    def add(self, look: int, value: Floats, gone: Floats) -> None:
        """Add the rows of a look to the sums of customers."""
        some = slice(self.ends[look - 1] if look else 0, self.ends[look])
        np.add.at(value, self.place[some], self.value[some])
        changed = np.flatnonzero(self.left[some])
        np.add.at(gone, self.place[some][changed], self.left[some][changed])
