"""Finds where journeys first leave their expected way, for many journeys at once.

The way is an automaton: a state holds the places of the way that the steps so far may have reached.
There are several where optional steps can be read in two ways. All journeys advance together, by
one step in each round; a journey that has deviated takes no further part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.analytics.promises.step_arrays import NEVER, JourneySteps

CONFORMITIES = ("conforming", "on_the_way", "deviating")
CONFORMING, ON_THE_WAY, DEVIATING = range(3)
DEVIATIONS = ("skipped", "again", "extra", "stopped")
SKIPPED, AGAIN, EXTRA, STOPPED = range(4)
NOT_ANY = 255  # no deviation, or no step of the way is expected any more
NO_STEP = -1  # the place of a step that did not come
_DEAD = -1


@dataclass(frozen=True, slots=True)
class WayStep:
    """A step of an expected way; an optional one may be left out."""

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Conformities:
    """The course of some journeys, arrays of shape (n,).

    Attributes
    ----------
    conformity, deviation
        Places in `CONFORMITIES` and in `DEVIATIONS`; `NOT_ANY`: no deviation.
    expected
        The step of the way that should have come, a place of the way; `NOT_ANY` after its end.
    found
        The place of the step that came instead; `NO_STEP` if the journey stopped.
    at_us
        When it deviated; else when it ended, or the time of its last step if it is open.
    """

    conformity: NDArray[np.uint8]
    deviation: NDArray[np.uint8]
    expected: NDArray[np.uint8]
    found: NDArray[np.int64]
    at_us: NDArray[np.int64]


class ExpectedWay:
    """An expected way, ready to be compared with journeys.

    Parameters
    ----------
    way
        At least one step, at most 254.
    classes
        For each class of steps, the names that mean a step of this class.
    """

    def __init__(self, way: Sequence[WayStep], classes: Sequence[frozenset[str]]) -> None:
        self._way, self._classes = way, classes
        states, numbers = [frozenset((0,))], {frozenset((0,)): 0}
        table: list[list[int]] = []
        for state in states:  # grows while it is read
            afters = [self._after(state, names) for names in classes]
            for after in afters:
                if after and after not in numbers:
                    numbers[after] = len(states)
                    states.append(after)
            table.append([numbers[after] if after else _DEAD for after in afters])
        self._table = np.array(table, np.int32).reshape(len(states), len(classes))
        furthest = [max(state) for state in states]
        self._kinds = np.array([[self._kind(p, names) for names in classes] for p in furthest])
        self._expected = np.array([self._required_from(p) for p in furthest])
        self._done = np.array(
            [any(self._required_from(p) == NOT_ANY for p in state) for state in states]
        )

    def compare(
        self, steps: JourneySteps, classes: NDArray[np.integer], journeys: NDArray[np.int64]
    ) -> Conformities:
        """Compare journeys with the way.

        Parameters
        ----------
        classes : shape (n_steps,)
            The class of each step.
        journeys : shape (n,)
            Places in the arrays by journey.
        """
        first, length = steps.first[journeys], np.diff(steps.first)[journeys]
        close_us = steps.close_us[journeys]
        state = np.zeros(len(journeys), np.int32)
        deviation = np.full(len(journeys), NOT_ANY, np.uint8)
        found = np.full(len(journeys), NO_STEP, np.int64)
        left, taken = np.arange(len(journeys)), 0
        while len(left):
            at = first[left] + taken
            before, came = state[left], classes[at]
            after = self._table[before, came]
            dead = after == _DEAD
            deviation[left[dead]] = self._kinds[before[dead], came[dead]]
            found[left[dead]] = at[dead]
            state[left[~dead]] = after[~dead]
            taken += 1
            left = left[~dead & (length[left] > taken)]
        went, closed = found == NO_STEP, close_us != NEVER
        stopped = went & closed & ~self._done[state]
        deviation[stopped] = STOPPED
        choices = [~went | stopped, closed]
        expected = np.where(choices[0], self._expected[state], NOT_ANY).astype(np.uint8)
        at_us = np.where(closed, close_us, steps.at_us[first + length - 1])
        at_us[~went] = steps.at_us[found[~went]]
        conformity = np.select(choices, [DEVIATING, CONFORMING], ON_THE_WAY).astype(np.uint8)
        return Conformities(conformity, deviation, expected, found, at_us)

    def _after(self, state: frozenset[int], names: frozenset[str]) -> frozenset[int]:
        """Return the places that may be reached by a step; none if it leaves the way."""
        found = set()
        for place in state:
            for index in range(place, len(self._way)):
                if self._way[index].name in names:
                    found.add(index + 1)
                if not self._way[index].optional:
                    break
        return frozenset(found)

    def _kind(self, place: int, names: frozenset[str]) -> int:
        """Name the deviation of a step that the way does not allow after a place."""
        if any(one.name in names for one in self._way[place:]):
            return SKIPPED
        return AGAIN if any(one.name in names for one in self._way[:place]) else EXTRA

    def _required_from(self, place: int) -> int:
        left = range(place, len(self._way))
        return next((index for index in left if not self._way[index].optional), NOT_ANY)
