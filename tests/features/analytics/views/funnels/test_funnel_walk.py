"""Tests the walk by arrays on journeys that are written out."""

from __future__ import annotations

import numpy as np

from features.analytics.tables import HOWS
from features.analytics.views.funnels.funnel_walk import (
    NEVER,
    STOPS,
    THROUGH,
    WalkedJourneys,
    WalkedStep,
    first_after,
    walk,
)

# Two journeys: rows 0 to 3, which ended, and rows 4 and 5, which is open.
AT_US = np.array([10, 20, 20, 40, 15, 30])
JOURNEYS = WalkedJourneys(
    first=np.array([0, 4]),
    after=np.array([4, 6]),
    at_us=AT_US,
    start_us=np.array([10, 15]),
    how=np.array([HOWS.index("ended"), HOWS.index("open")], np.uint8),
    end_us=np.array([40, 100]),
)
NONE = np.zeros(0, np.int64)


def test_the_first_row_after_another_is_found_within_its_journey() -> None:
    rows, times = first_after(AT_US, np.array([1, 5]), np.array([-1, 3]), np.array([4, 6]))
    assert (rows.tolist(), times.tolist()) == ([1, 5], [20, 30])
    rows, times = first_after(AT_US, np.array([1, 5]), np.array([1, 5]), np.array([4, 6]))
    assert (rows.tolist(), times.tolist()) == ([NEVER, NEVER], [NEVER, NEVER])


def test_a_walk_keeps_times_and_what_stopped_it() -> None:
    steps = [WalkedStep(np.array([1, 4])), WalkedStep(np.array([2]), window_us=5)]
    walked = walk(JOURNEYS, steps, NONE)
    assert walked.furthest.tolist() == [2, 1]
    assert walked.stopped.tolist() == [THROUGH, STOPS.index("too_late")]
    assert [times.tolist() for times in walked.times] == [[20, 15], [20, NEVER]]
    assert [times.tolist() for times in walked.since] == [[10, 15], [20, 15]]
    assert walked.row.tolist() == [2, 4]


def test_an_excluded_step_counts_after_the_first_required_one_only() -> None:
    steps = [WalkedStep(np.array([1, 5])), WalkedStep(np.array([3]))]
    walked = walk(JOURNEYS, steps, np.array([0, 2, 4]))
    assert walked.furthest.tolist() == [1, 1]
    assert walked.stopped.tolist() == [STOPS.index("excluded"), STOPS.index("open")]


def test_an_optional_step_lies_between_the_required_ones() -> None:
    steps = [
        WalkedStep(np.array([0, 4])),
        WalkedStep(np.array([1, 5]), optional=True),
        WalkedStep(np.array([3])),
        WalkedStep(np.array([2]), optional=True),
    ]
    walked = walk(JOURNEYS, steps, NONE)
    assert walked.furthest.tolist() == [3, 1]
    assert [times.tolist() for times in walked.times] == [
        [10, 15],
        [20, 30],
        [40, NEVER],
        [NEVER] * 2,
    ]
