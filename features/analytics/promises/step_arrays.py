"""Steps of many journeys as arrays, and looking up steps in all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_TIME = np.iinfo(np.int64).min  # where there is no such time
NEVER = np.iinfo(np.int64).max  # the end of a journey that is open


@dataclass(frozen=True, slots=True)
class JourneySteps:
    """Steps of many journeys, one after the other, each journey in the order of its steps.

    Attributes
    ----------
    first : shape (n_journeys + 1,)
        Where each journey begins; at last the number of steps.
    journey : shape (n_steps,)
        The journey of each step, a place in the arrays by journey.
    at_us : shape (n_steps,)
        Microseconds since 1970.
    close_us : shape (n_journeys,)
        When each journey ended or lapsed, or the customer left; `NEVER` if it is open.
    """

    first: NDArray[np.int64]
    journey: NDArray[np.int32]
    at_us: NDArray[np.int64]
    close_us: NDArray[np.int64]

    @property
    def start_us(self) -> NDArray[np.int64]:
        """The time of the first step of each journey, shape (n_journeys,)."""
        return self.at_us[self.first[:-1]]


def one_at_a_time(
    steps: JourneySteps,
    begins: NDArray[np.int64],
    decides: NDArray[np.int64],
    due_us: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose the steps that activate a promise while none is active.

    A deciding step ends what was active, so the steps between two of them are a group of its own.
    Within a group, the next one is the first that is later than the due time. All that follow from
    the first one of a group are found by doubling: in each round, by twice as many steps.

    Parameters
    ----------
    begins, decides
        Places of the steps that activate it, and of those that decide it, in their order.
    due_us : shape (n_begins,)

    Returns
    -------
    chosen : shape (n,)
        Places in ``begins``, in their order.
    again : shape (n,)
        True where the next one of the same group was chosen after this one was due.
    """
    total = len(begins)
    group = np.searchsorted(decides, begins, side="right")
    journey, at_us = steps.journey[begins], steps.at_us[begins]
    chosen = np.ones(total, bool)
    chosen[1:] = (journey[1:] != journey[:-1]) | (group[1:] != group[:-1])
    starts = np.flatnonzero(chosen)
    sizes = np.diff(np.append(starts, total))
    end = np.repeat(starts + sizes, sizes)
    following = _first_after(at_us, np.arange(1, total + 1), end, due_us)
    following[following == end] = total  # none
    jump = np.append(following, total)
    while True:
        found = jump[np.flatnonzero(chosen)]
        found = found[found < total]
        if chosen[found].all():
            break
        chosen[found] = True
        jump = jump[jump]
    places = np.flatnonzero(chosen)
    return places, following[places] < total


def _first_after(
    at_us: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    limit_us: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the first place from low on, and before high, that is later than a limit; else high.

    A search by halves in all ranges at once; within a range the times rise.
    """
    low, high = low.copy(), high.copy()
    left = np.flatnonzero(low < high)
    while len(left):
        middle = (low[left] + high[left]) // 2
        later = at_us[middle] > limit_us[left]
        high[left[later]] = middle[later]
        low[left[~later]] = middle[~later] + 1
        left = left[low[left] < high[left]]
    return low


def next_time(
    steps: JourneySteps, begins: NDArray[np.int64], decides: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the time of the next deciding step of the same journey; `NO_TIME`: there is none."""
    found = np.full(len(begins), NO_TIME)
    place = np.searchsorted(decides, begins, side="right")
    there = np.flatnonzero(place < len(decides))
    at = decides[place[there]]
    there, at = (one[steps.journey[at] == steps.journey[begins[there]]] for one in (there, at))
    found[there] = steps.at_us[at]
    return found


def contains(places: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which of some places are among others, which are in order."""
    if not len(places):
        return np.zeros(len(asked), bool)
    at = np.minimum(np.searchsorted(places, asked), len(places) - 1)
    found: NDArray[np.bool_] = places[at] == asked
    return found
