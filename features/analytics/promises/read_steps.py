"""Reads the steps of journeys of one kind into arrays: once for all promises of the kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.analytics.journey_data import JourneyData
from features.analytics.promises.step_arrays import NEVER, NO_TIME, JourneySteps
from features.analytics.tables import DUE, NO_TYPE
from features.analytics.views.filters import JourneyFilter, filtered
from features.analytics.views.relations import chosen_steps


class KindSteps:
    """The steps of journeys of a kind.

    Parameters
    ----------
    wanted
        Which journeys.
    told
        Promises whose times properties tell.
    with_channel
        True if the channels are needed, too.

    Attributes
    ----------
    arrays : JourneySteps
    numbers : shape (n_journeys,)
        The number of each journey, in the order of the arrays.
    node, type : shape (n_steps,)
        Numbers of `MapNodes`.
    channel : shape (n_steps,)
        Empty if it was not asked for.
    """

    def __init__(
        self,
        data: JourneyData,
        wanted: JourneyFilter,
        told: Sequence[str] = (),
        with_channel: bool = False,
    ) -> None:
        self._nodes, self._kind = data.nodes, wanted.map
        self._domain = data.domain
        self._places: dict[str, NDArray[np.int64]] = {}
        asked = ["journey", "seq", "node", "type", "at_us", *(f"{DUE}{name}" for name in told)]
        asked += ["channel"] * with_channel
        listed = ", ".join(f'"{name}"' for name in asked)
        chosen, parameters = chosen_steps(data, wanted)
        read = data.columns(f"SELECT {listed} FROM steps WHERE {chosen}", parameters)
        columns = {name: _filled(column) for name, column in read.items()}
        self.numbers, close_us = _journeys(data, wanted)
        journey = _places_of(columns.pop("journey"), self.numbers)
        first = np.cumsum(np.bincount(journey, minlength=len(self.numbers)), dtype=np.int64)
        first = np.concatenate((np.zeros(1, np.int64), first))
        # Files have the steps in the order of time, so those of parallel journeys are mixed.
        at = first[journey] + columns.pop("seq")
        if not np.array_equal(at, np.arange(len(at))):
            columns = {name: _moved(columns[name], at) for name in [*columns]}
            journey = _moved(journey, at)
        self.node: NDArray[np.uint16] = columns["node"]
        self.type: NDArray[np.uint16] = columns["type"]
        self.channel: NDArray[np.uint8] = columns.get("channel", np.zeros(0, np.uint8))
        self._told = {name: columns[f"{DUE}{name}"] for name in told}
        self.arrays = JourneySteps(first, journey, columns["at_us"], close_us)

    def versions_in_force(self) -> NDArray[np.int64]:
        """Return the place of the version by which each journey is judged, shape (n_journeys,).

        It is that of ``JourneyKind.expected`` that was in force when the journey began; -1: none.
        """
        begins = [one.since_us for one in self._domain.journey_kinds[self._kind].expected]
        return np.searchsorted(begins, self.arrays.start_us, side="right") - 1

    def places(self, step: str) -> NDArray[np.int64]:
        """Return where the steps are that a name means: a type of event, or a node of the map."""
        if step not in self._places:
            matches = np.zeros(np.iinfo(np.uint16).max + 1, bool)
            matches[list(self._nodes.codes_named(self._kind, step))] = True
            found = matches[self.node]
            if (code := self._nodes.type_code(step)) != NO_TYPE:
                found |= self.type == code
            self._places[step] = np.flatnonzero(found)
        return self._places[step]

    def classes(self, steps: Sequence[str]) -> tuple[list[frozenset[str]], NDArray[np.intp]]:
        """Class the steps by the names that mean them.

        Returns
        -------
        classes : list of sets
            Of each class, those of the names that mean its steps.
        of_step : shape (n_steps,)
        """
        by_node, by_type = (np.zeros(np.iinfo(np.uint16).max + 1, np.int32) for _ in range(2))
        for number, step in enumerate(steps, start=1):
            by_node[list(self._nodes.codes_named(self._kind, step))] = number
            if (code := self._nodes.type_code(step)) != NO_TYPE:
                by_type[code] = number
        pairs = by_node[self.node] * (len(steps) + 1) + by_type[self.type]
        present = np.flatnonzero(np.bincount(pairs))
        place = np.zeros(present[-1] + 1 if len(present) else 1, np.intp)
        place[present] = np.arange(len(present))
        names = [
            frozenset(steps[number - 1] for number in divmod(int(pair), len(steps) + 1) if number)
            for pair in present
        ]
        return names, place[pairs]

    def told_us(self, promise: str) -> NDArray[np.int64] | None:
        """Return the told times of a promise, shape (n_steps,), `NO_TIME` where there is none."""
        return self._told.get(promise)


def _filled(column: Any) -> NDArray[Any]:
    """Write `NO_TIME` where a column has no value; only times may have none."""
    if isinstance(column, np.ma.MaskedArray):
        found: NDArray[Any] = column.filled(NO_TIME) if column.mask.any() else column.data
        return found
    return np.asarray(column)


def _journeys(
    data: JourneyData, wanted: JourneyFilter
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the numbers of the journeys, and when each ended, lapsed, or the customer left."""
    where, parameters = filtered(data, wanted)
    read = data.columns(f"SELECT journey, end_us FROM journeys WHERE {where}", parameters)
    ends = read["end_us"]
    ends = ends.filled(NEVER) if isinstance(ends, np.ma.MaskedArray) else ends
    return _filled(read["journey"]), np.asarray(ends, np.int64)


def _places_of(journey: NDArray[np.uint64], numbers: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return the place among some numbers of the journey of each step, shape (n_steps,)."""
    if not len(journey):
        return np.zeros(0, np.int32)
    # Many steps follow one of the same journey; these are looked up once.
    begins = np.flatnonzero(np.concatenate(([True], journey[1:] != journey[:-1])))
    order = np.argsort(numbers).astype(np.int32)
    found = order[np.searchsorted(numbers[order], journey[begins])]
    return np.repeat(found, np.diff(np.append(begins, len(journey))))


def _moved(column: NDArray[Any], at: NDArray[np.int64]) -> NDArray[Any]:
    """Put each value at its place."""
    found = np.empty_like(column)
    found[at] = column
    return found
