"""Judges the promises of an open journey step by step, with one number of memory for each.

`journey_rules.promises` defines the six templates. The fold asks less than the analytics: how many
activations are open, when they are due, and how many were broken. So an activation is forgotten as
soon as it is kept, broken or void, and one number is memory enough:

- response, never again, chain: when the activation is due; nan: none is pending
- precedence: when the step first came that must come before; nan: it has not
- absence, at most: how often the unwanted step came in time

All times are microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import inf, isnan, nan
from typing import Any, NamedTuple, Protocol

from features.business.journey_rules.promises import Promise
from features.journeys.promises.due_times import due_us


class PromiseStep(NamedTuple):
    """A step of a journey, as promises see it.

    Attributes
    ----------
    names : set of str
        The type of its event, and the label of its node on the map of the journey.
    """

    at_us: int
    names: Set[str]
    properties: Mapping[str, Any]


class PromiseRule(Protocol):
    """Judges one promise of one version; the memory is that of one journey."""

    def begin(self) -> float:
        """Return the memory before the first step."""

    def step(self, memory: float, start_us: float, step: PromiseStep) -> tuple[float, int]:
        """Return the memory after a step, and how many activations are broken by it."""

    def close(self, memory: float, close_us: float) -> int:
        """Return how many activations are broken, not void or kept, as the journey closes."""

    def read(self, memory: float, start_us: float, at_us: float) -> tuple[float | None, int]:
        """Tell as of a moment when the open activation is due, and how many broke since a step.

        The first is None if no activation is open, and infinite if it is never due.
        """


def promise_rule(promise: Promise) -> PromiseRule:
    """Return the rule for the template of a promise."""
    match promise.template:
        case "response":
            return _Pending(promise, promise.comes or "")
        case "chain":
            return _Chain(promise, promise.next or "")
        case "never_again":
            return _NeverAgain(promise, promise.never or "")
        case "precedence":
            return _Precedence(promise)
        case "absence":
            return _AtMost(promise, promise.never or "", 0)
        case "at_most":
            return _AtMost(promise, promise.of or "", promise.no_more_than or 0)


class _Pending:
    """Response: after a first step a second one comes in time."""

    def __init__(self, promise: Promise, second: str) -> None:
        self._promise, self._first, self._second = promise, promise.after, second

    def begin(self) -> float:
        return nan

    def step(self, memory: float, start_us: float, step: PromiseStep) -> tuple[float, int]:
        memory, broken = self._resolved(memory, step)
        if isnan(memory) and self._first in step.names:
            due = due_us(self._promise, step.at_us, step.properties)
            memory = inf if due is None else float(due)
        return memory, broken

    def _resolved(self, memory: float, step: PromiseStep) -> tuple[float, int]:
        if memory < step.at_us:  # never true of nan
            return nan, 1
        return (nan if self._second in step.names else memory), 0

    def close(self, memory: float, close_us: float) -> int:
        return 1 if memory <= close_us else 0

    def read(self, memory: float, start_us: float, at_us: float) -> tuple[float | None, int]:
        if isnan(memory):
            return None, 0
        return (None, 1) if memory < at_us else (memory, 0)


class _Chain(_Pending):
    """Chain: the very next step is the one that was promised."""

    def _resolved(self, memory: float, step: PromiseStep) -> tuple[float, int]:
        kept = isnan(memory) or (self._second in step.names and step.at_us <= memory)
        return nan, 0 if kept else 1


class _NeverAgain(_Pending):
    """Never again: after a first step an unwanted one does not come for some time."""

    def _resolved(self, memory: float, step: PromiseStep) -> tuple[float, int]:
        if memory < step.at_us:
            return nan, 0
        came = self._second in step.names and not isnan(memory)
        return (nan, 1) if came else (memory, 0)

    def close(self, memory: float, close_us: float) -> int:
        return 0

    def read(self, memory: float, start_us: float, at_us: float) -> tuple[float | None, int]:
        return (memory if memory >= at_us else None), 0


class _Precedence:
    """Precedence: when a step comes, another one had come some time before."""

    def __init__(self, promise: Promise) -> None:
        self._first, self._second = promise.comes, promise.before
        self._before_us = promise.time_us or 0

    def begin(self) -> float:
        return nan

    def step(self, memory: float, start_us: float, step: PromiseStep) -> tuple[float, int]:
        if isnan(memory) and self._first in step.names:
            memory = float(step.at_us)
        if self._second not in step.names:
            return memory, 0
        return memory, 0 if memory <= step.at_us - self._before_us else 1

    def close(self, memory: float, close_us: float) -> int:
        return 0

    def read(self, memory: float, start_us: float, at_us: float) -> tuple[float | None, int]:
        return None, 0


class _AtMost:
    """Absence, and at most: an unwanted step comes so many times, or in the first days only."""

    def __init__(self, promise: Promise, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._time_us = inf if promise.time_us is None else float(promise.time_us)

    def begin(self) -> float:
        return 0.0

    def step(self, memory: float, start_us: float, step: PromiseStep) -> tuple[float, int]:
        counts = memory <= self._most and step.at_us <= start_us + self._time_us
        if not counts or self._name not in step.names:
            return memory, 0
        return memory + 1.0, 1 if memory == self._most else 0

    def close(self, memory: float, close_us: float) -> int:
        return 0

    def read(self, memory: float, start_us: float, at_us: float) -> tuple[float | None, int]:
        due = start_us + self._time_us
        return (due if memory <= self._most and due >= at_us else None), 0
