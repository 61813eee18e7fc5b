"""Remembers each open journey of a kind: its case, its start, and where its promises stand.

Most kinds need no such memory: how many journeys are open follows from few numbers (see
`open_journeys`). Kinds with a ``case`` or with promises do. Their memory grows with the open
journeys, so it is a tuple that stands at one place of the state; 0 stands there while it is empty.

    broken, for each promise; then for each open journey, the oldest first:
    hash of the case (-1: none), start, and a number for each promise (see `promise_rules`)

Times in it are microseconds since 1970.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from functools import lru_cache
from math import inf, isfinite, nan
from typing import cast

from features.business.event_types import EventType
from features.business.journey_rules.kinds import JourneyKind
from features.journeys.descriptions import AMOUNT, TIMES, FeatureDescription, humanize
from features.journeys.journey_steps import MAX_OPEN, StepEffect
from features.journeys.open_journeys import JourneyPart
from features.journeys.promises.promise_rules import PromiseRule, PromiseStep, promise_rule
from features.journeys.state import SECOND_US, State

HOUR_US = 3_600 * SECOND_US
NO_CASE = -1.0
CASE, START, HEAD = 0, 1, 2  # of a journey in the memory; the promises follow the head

_Versions = list[tuple[tuple[int, PromiseRule], ...]]


class JourneyMemory:
    """The part of the fold that remembers the open journeys of one kind.

    At most `MAX_OPEN` journeys are open. When another one opens, the oldest has lapsed.

    Parameters
    ----------
    start : int
        The place of the memory in a state.
    name, kind
        The kind of journey.
    journey
        The part that counts the open journeys; it tells when they have lapsed.

    Attributes
    ----------
    map : MapRules
        Names the steps by which promises call them.
    promises : tuple of str
        Of all versions.
    """

    def __init__(self, start: int, name: str, kind: JourneyKind, journey: JourneyPart) -> None:
        self._start, self._journey, self.map = start, journey, kind.map
        promised = [promise for one in kind.expected for promise in one.promises]
        self.promises = tuple(dict.fromkeys(promised))
        self.fields = (f"journey_{name}_memory",)
        self.names = tuple(
            f"promise_{promise}_{read}"
            for promise in self.promises
            for read in ("open", "hours_left", "broken_n")
        )
        self._head, self._width = len(self.promises), HEAD + len(self.promises)
        self._since_us = [one.since_us for one in kind.expected]
        self._versions: _Versions = [
            tuple(
                (place, promise_rule(one.promises[promise]))
                for place, promise in enumerate(self.promises)
                if promise in one.promises
            )
            for one in kind.expected
        ]

    def descriptions(self) -> dict[str, FeatureDescription]:
        """Describe each feature in plain English, by its name."""
        found: dict[str, FeatureDescription] = {}
        for promise in self.promises:
            name, label = f"promise_{promise}", f"promise '{humanize(promise)}'"
            found[f"{name}_open"] = FeatureDescription(
                f"{label}, how often it is open now", TIMES, f"{label} open {AMOUNT}"
            )
            found[f"{name}_hours_left"] = FeatureDescription(
                f"{label}, time until it is due",
                "hours",
                f"{label} due in {AMOUNT}",
                f"no open {label} with a time",
            )
            found[f"{name}_broken_n"] = FeatureDescription(
                f"{label}, how often it was broken", TIMES, f"{label} broken {AMOUNT}"
            )
        return found

    def empty(self) -> State:
        """Return the slice before any event."""
        return [0.0]

    def fits(self, length: int) -> bool:
        """Return whether a memory may have so many numbers."""
        return length >= self._head and (length - self._head) % self._width == 0

    def advance(
        self, state: State, step: PromiseStep, event: EventType, effect: StepEffect
    ) -> None:
        """Update the memory at an event of this kind of journey, and tell the part that counts."""
        at_s = step.at_us / SECOND_US
        values = self._values(state)
        lapsed_us = self._journey.lapsed_us(state, at_s)
        if lapsed_us is not None:
            self._close_all(values, lapsed_us)
            self._journey.close_all(state)
        place = self._place_of(values, effect.case)
        if place is None or (effect.step == "starts" and effect.case is None):
            place = self._open(values, effect.case, step.at_us)
        start_us = values[place + START]
        for at, rule in self._rules(start_us):
            number = place + HEAD + at
            values[number], broken = rule.step(values[number], start_us, step)
            values[at] += broken
        if effect.step == "ends":
            self._close(values, place, step.at_us)
        self._keep(state, values)
        count = (len(values) - self._head) // self._width
        oldest_s = values[self._head + START] / SECOND_US if count else nan
        self._journey.tell(state, at_s, event, effect.step, (count, oldest_s))

    def leave(self, state: State, at_s: float) -> None:
        """Close all open journeys, as the customer leaves."""
        values = self._values(state)
        lapsed_us = self._journey.lapsed_us(state, at_s)
        self._close_all(values, round(at_s * SECOND_US) if lapsed_us is None else lapsed_us)
        self._keep(state, values)

    def read(self, features: list[float], state: State, at_s: float) -> None:
        """Append the features of the promises at a moment."""
        if not self.promises:
            return
        values, at_us = self._values(state), round(at_s * SECOND_US)
        lapsed_us = self._journey.lapsed_us(state, at_s)
        open_n, due_us, broken = [0.0] * self._head, [inf] * self._head, values[: self._head]
        for place in self._places(values):
            start_us = values[place + START]
            for at, rule in self._rules(start_us):
                memory = values[place + HEAD + at]
                if lapsed_us is not None:
                    broken[at] += rule.close(memory, lapsed_us)
                    continue
                due, broke = rule.read(memory, start_us, at_us)
                broken[at] += broke
                if due is not None:
                    open_n[at] += 1.0
                    due_us[at] = min(due_us[at], due)
        for at in range(self._head):
            left = (due_us[at] - at_us) / HOUR_US if isfinite(due_us[at]) else nan
            features += [open_n[at], left, broken[at]]

    def _values(self, state: State) -> list[float]:
        kept = memory_at(state, self._start)
        return [*kept] if kept else [0.0] * self._head

    def _keep(self, state: State, values: list[float]) -> None:
        kept = tuple(values) if len(values) > self._head or any(values) else ()
        set_memory(state, self._start, kept)

    def _places(self, values: list[float]) -> range:
        return range(self._head, len(values), self._width)

    def _place_of(self, values: list[float], case: str | None) -> int | None:
        """Find the open journey of a case; without a case, the newest one."""
        if case is None:
            return len(values) - self._width if len(values) > self._head else None
        wanted = case_hash(case)
        return next((place for place in self._places(values) if values[place] == wanted), None)

    def _open(self, values: list[float], case: str | None, at_us: int) -> int:
        if len(values) - self._head >= MAX_OPEN * self._width:
            self._close(values, self._head, at_us)
        place = len(values)
        values += [NO_CASE if case is None else case_hash(case), float(at_us)]
        values += [nan] * self._head
        for at, rule in self._rules(at_us):
            values[place + HEAD + at] = rule.begin()
        return place

    def _close_all(self, values: list[float], close_us: int) -> None:
        for place in reversed(self._places(values)):
            self._close(values, place, close_us)

    def _close(self, values: list[float], place: int, close_us: float) -> None:
        for at, rule in self._rules(values[place + START]):
            values[at] += rule.close(values[place + HEAD + at], close_us)
        del values[place : place + self._width]

    def _rules(self, start_us: float) -> tuple[tuple[int, PromiseRule], ...]:
        """Return the promises by which a journey is judged, each with its place."""
        version = bisect_right(self._since_us, start_us)
        return self._versions[version - 1] if version else ()


@lru_cache(maxsize=10_000)
def case_hash(case: str) -> float:
    """Return a hash of 48 bits, which a float holds exactly; never that of no case."""
    return float(int.from_bytes(hashlib.blake2b(case.encode(), digest_size=6).digest(), "big"))


def memory_at(state: State, place: int) -> tuple[float, ...]:
    """Return the memory at a place of a state; empty where 0 stands."""
    kept: object = state[place]
    return cast("tuple[float, ...]", kept) if isinstance(kept, tuple) else ()


def set_memory(state: State, place: int, values: tuple[float, ...]) -> None:
    """Put a memory at a place of a state; see `state.State` for its type."""
    state[place] = cast(float, values) if values else 0.0
