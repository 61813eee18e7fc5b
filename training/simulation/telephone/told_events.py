"""The events of the telephone company that a service is told of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from training.arrays import Bools, Ints
from training.simulation.business import (
    LEAVING_MINUTE,
    MORNING_MINUTE,
    Arrivals,
    SimulatedEvent,
)
from training.simulation.telephone.actions import CHANNELS, NEEDS
from training.simulation.telephone.customer_state import PAGES, CustomerState

USAGE_CHANNEL = "network"  # no customer can be reached on it
USAGE_EVERY_DAYS = 2


class ReportedJourneys:
    """The complaints and questions that a service knows of, and the events by which they change."""

    def __init__(self, customers: int) -> None:
        self._problems = self._before = np.zeros(customers, dtype=np.bool_)
        self._questions = self._questions_before = self._problems

    def begin_day(self, state: CustomerState) -> None:
        """Note the open problems and questions of a new day, and those of the day before."""
        self._before, self._problems = self._problems, state.problem_open.copy()
        self._questions_before, self._questions = self._questions, state.support_open.copy()

    def events(
        self, state: CustomerState, arrivals: Arrivals, arrived_at: Ints, day: int
    ) -> list[SimulatedEvent]:
        """List the events of the morning, then the page views just before the arrivals."""
        active = state.active
        found = [
            *_each("complaint_opened", "web", active & self._problems & ~self._before),
            *_each("complaint_closed", "web", active & ~self._problems & self._before),
            *_each("chat", "app", active & self._questions & ~self._questions_before),
            *_each("call", "call_centre", active & state.called),
            *_usage(state, day),
        ]
        answered = active & state.answered
        scores = np.round(5 + 5 * state.nps)
        for customer in np.flatnonzero(answered).tolist():
            score = {"score": float(scores[customer])}
            found.append(SimulatedEvent(customer, "nps", "email", MORNING_MINUTE, score))
        found += _page_views(state, arrivals, arrived_at)
        return found


def leaving_events(left: Bools) -> Iterator[SimulatedEvent]:
    """Tell who left today."""
    return _each("left", "web", left, LEAVING_MINUTE)


def _usage(state: CustomerState, day: int) -> Iterator[SimulatedEvent]:
    """Tell the use of the service, of each customer every second day."""
    customers = np.arange(len(state.active))
    told = np.flatnonzero(state.active & ((customers + day) % USAGE_EVERY_DAYS == 0))
    levels = np.round(state.usage[told], 3).tolist()
    for customer, level in zip(told.tolist(), levels, strict=True):
        yield SimulatedEvent(customer, "usage", USAGE_CHANNEL, MORNING_MINUTE, {"level": level})


def _page_views(
    state: CustomerState, arrivals: Arrivals, arrived_at: Ints
) -> Iterator[SimulatedEvent]:
    """Tell the pages that today's arrivals look at, and the stage of an open purchase."""
    viewed = state.page[arrivals.customer] >= 0
    customers, channels = arrivals.customer[viewed], arrivals.channel[viewed]
    pages, needs, stages = state.page[customers], state.need[customers], state.stage[customers]
    columns = (customers, channels, pages, needs, stages, arrived_at[customers])
    for customer, channel, page, need, stage, minute in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        seen: dict[str, str | int] = {"page": PAGES[page]}
        if stage:
            seen[f"depth_{NEEDS[need]}"] = stage
        yield SimulatedEvent(customer, "page_view", CHANNELS[channel], minute - 1, seen)


def _each(
    kind: str, channel: str, mask: Bools, minute: int = MORNING_MINUTE
) -> Iterator[SimulatedEvent]:
    for customer in np.flatnonzero(mask).tolist():
        yield SimulatedEvent(customer, kind, channel, minute)
