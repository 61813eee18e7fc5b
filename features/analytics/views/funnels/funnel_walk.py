"""Walks journeys through a funnel: how far each came, when, and what stopped it.

A journey takes the first step that matches after the last required one. Of four things, the first
to happen decides: the next required step comes, an excluded step comes, the window of the next
required step is over, or the journey is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.analytics.tables import HOWS

TOO_LATE, EXCLUDED = len(HOWS), len(HOWS) + 1
# What stopped a journey: how it ended within the window, that it may still go on, that the window
# was over first, or that an excluded step came first.
STOPS = (*HOWS, "too_late", "excluded")
THROUGH = len(STOPS)  # it took all required steps
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class WalkedJourneys:
    """Journeys with their steps one after another, in the order of the ledger.

    Steps that no name of the funnel means may be left out.

    Attributes
    ----------
    first, after : shape (n,)
        Rows of the first step of each journey, and of the one after its last; equal if it has none.
    at_us : shape (n_steps,)
        The time of each step.
    start_us : shape (n,)
        When each journey began.
    how : shape (n,)
        A place in `HOWS`.
    end_us : shape (n,)
        When it was over; of open ones, the moment up to which all is counted.
    """

    first: NDArray[np.int64]
    after: NDArray[np.int64]
    at_us: NDArray[np.int64]
    start_us: NDArray[np.int64]
    how: NDArray[np.uint8]
    end_us: NDArray[np.int64]


@dataclass(frozen=True)
class WalkedStep:
    """A step of the funnel.

    Attributes
    ----------
    rows : shape (n_matches,)
        The rows of the steps that match, rising.
    """

    rows: NDArray[np.int64]
    window_us: int | None = None
    optional: bool = False


@dataclass
class Walked:
    """Tells how far journeys came; all arrays have shape (n,).

    Attributes
    ----------
    furthest
        Place of the last required step that was taken, from 1; 0: none.
    stopped
        Place in `STOPS`; `THROUGH`: nothing did.
    row
        Row of the last required step that was taken; of none, the row before the journey.
    times : list
        For each step of the funnel, when it was taken; `NEVER` if it was not.
    since : list
        For each step of the funnel, the time of the last required step before it.
    """

    furthest: NDArray[np.uint8]
    stopped: NDArray[np.uint8]
    row: NDArray[np.int64]
    times: list[NDArray[np.int64]] = field(default_factory=list)
    since: list[NDArray[np.int64]] = field(default_factory=list)


@dataclass(frozen=True)
class _Next:
    """Tells what happened to the journeys that waited for a required step; shape (n_going,).

    ``row`` is that of the step. Optional steps before it count if they lie before the row
    ``before``, until ``until_us``.
    """

    stopped: NDArray[np.uint8]
    row: NDArray[np.int64]
    before: NDArray[np.int64]
    until_us: NDArray[np.int64]


def walk(
    journeys: WalkedJourneys, steps: Sequence[WalkedStep], excluded: NDArray[np.int64]
) -> Walked:
    """Walk all journeys through a funnel, step by step.

    Parameters
    ----------
    excluded : shape (n_excluded,)
        The rows of steps that must not come between two required ones, rising.
    """
    n = len(journeys.first)
    going: NDArray[np.int64] = np.arange(n)
    since = journeys.start_us
    walked = Walked(np.zeros(n, np.uint8), np.full(n, THROUGH, np.uint8), journeys.first - 1)
    walked.times = [np.full(n, NEVER) for _ in steps]
    waiting: list[int] = []
    for place, step in enumerate(steps):
        walked.since.append(since)
        if step.optional:
            waiting.append(place)
            continue
        is_first = all(before.optional for before in steps[:place])
        barred = excluded[:0] if is_first else excluded
        found = _next_required(journeys, step, walked.row[going], since[going], barred, going)
        _take_optional(journeys, steps, walked, waiting, going, found.before, found.until_us)
        waiting = []
        walked.stopped[going] = found.stopped
        took = found.stopped == THROUGH
        going, row = going[took], found.row[took]
        since = since.copy()
        walked.furthest[going], walked.row[going] = place + 1, row
        walked.times[place][going] = since[going] = journeys.at_us[row]
    ends = journeys.after[going]
    _take_optional(journeys, steps, walked, waiting, going, ends, np.full(len(going), NEVER))
    return walked


def _next_required(
    journeys: WalkedJourneys,
    step: WalkedStep,
    last_row: NDArray[np.int64],
    since: NDArray[np.int64],
    excluded: NDArray[np.int64],
    going: NDArray[np.int64],
) -> _Next:
    after, how, end_us = journeys.after[going], journeys.how[going], journeys.end_us[going]
    until_us = _deadline(since, step.window_us)
    row, came_us = first_after(journeys.at_us, step.rows, last_row, after)
    barred, barred_us = first_after(journeys.at_us, excluded, last_row, after)
    is_barred = (barred < row) & (barred_us <= until_us)
    is_taken = ~is_barred & (row != NEVER) & (came_us <= until_us)
    is_late = (row != NEVER) | (until_us < end_us)
    stopped = how.copy()
    for is_so, stop in ((is_late, TOO_LATE), (is_barred, EXCLUDED), (is_taken, THROUGH)):
        stopped[is_so] = stop
    before = np.where(is_barred, barred, np.minimum(row, after))
    return _Next(stopped, row, before, until_us)


def _take_optional(
    journeys: WalkedJourneys,
    steps: Sequence[WalkedStep],
    walked: Walked,
    waiting: Sequence[int],
    going: NDArray[np.int64],
    before: NDArray[np.int64],
    until_us: NDArray[np.int64],
) -> None:
    """Note the optional steps that journeys took, one after another."""
    last_row = walked.row[going]
    for place in waiting:
        since = walked.since[place][going]
        row, at_us = first_after(journeys.at_us, steps[place].rows, last_row, before)
        latest = np.minimum(until_us, _deadline(since, steps[place].window_us))
        took = (row != NEVER) & (at_us <= latest)
        walked.times[place][going[took]] = at_us[took]
        last_row = np.where(took, row, last_row)


def first_after(
    at_us: NDArray[np.int64],
    rows: NDArray[np.int64],
    last_row: NDArray[np.int64],
    before: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each journey the first of some rows after another row, and its time.

    Both are `NEVER` where there is none.

    Parameters
    ----------
    at_us : shape (n_steps,)
        The time of each step.
    rows : shape (n_matches,)
        Rising.
    last_row, before : shape (n,)
        The row is looked for between the two.
    """
    found_us = np.full(len(last_row), NEVER)
    if not len(rows):
        return np.full(len(last_row), NEVER), found_us
    padded = np.append(rows, NEVER)
    row = padded[np.searchsorted(rows, last_row, side="right")]
    row = np.where(row < before, row, NEVER)
    found = row != NEVER
    found_us[found] = at_us[row[found]]
    return row, found_us


def _deadline(since: NDArray[np.int64], window_us: int | None) -> NDArray[np.int64]:
    return np.full(len(since), NEVER) if window_us is None else since + window_us
