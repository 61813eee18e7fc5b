from __future__ import annotations

import numpy as np

from features.analytics.promises.step_arrays import (
    NEVER,
    NO_TIME,
    JourneySteps,
    contains,
    next_time,
    one_at_a_time,
)

# Two journeys: steps 0 to 5 at 0, 1, 2, 3, 4, 5, and steps 6 to 8 at 10, 20, 30.
STEPS = JourneySteps(
    first=np.array([0, 6, 9]),
    journey=np.array([0, 0, 0, 0, 0, 0, 1, 1, 1], np.int32),
    at_us=np.array([0, 1, 2, 3, 4, 5, 10, 20, 30]),
    close_us=np.array([5, NEVER]),
)


def test_a_journey_starts_with_its_first_step() -> None:
    assert STEPS.start_us.tolist() == [0, 10]


def test_the_next_time_is_that_of_a_later_step_of_the_same_journey() -> None:
    found = next_time(STEPS, np.array([0, 2, 5, 6]), np.array([2, 4, 6, 8]))

    assert found.tolist() == [2, 4, NO_TIME, 30]


def test_the_next_time_is_none_where_nothing_decides() -> None:
    nothing = np.array([], np.int64)

    assert next_time(STEPS, np.array([0]), nothing).tolist() == [NO_TIME]
    assert next_time(STEPS, nothing, np.array([0])).tolist() == []


def test_one_is_active_until_it_is_due_or_decided() -> None:
    begins = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    due_us = STEPS.at_us[begins] + 1
    # Each is due after 1, so the next one begins at the second step after it; step 4 decides.
    chosen, again = one_at_a_time(STEPS, begins, np.array([4]), due_us)

    assert begins[chosen].tolist() == [0, 2, 4, 6, 7]
    assert again.tolist() == [True, False, False, True, False]


def test_nothing_is_chosen_of_nothing() -> None:
    nothing = np.array([], np.int64)
    chosen, again = one_at_a_time(STEPS, nothing, np.array([4]), nothing)

    assert (chosen.tolist(), again.tolist()) == ([], [])


def test_places_are_found_among_others() -> None:
    found = contains(np.array([2, 5, 7]), np.array([1, 2, 7, 9]))

    assert found.tolist() == [False, True, True, False]
    assert contains(np.array([], np.int64), np.array([1])).tolist() == [False]
