"""Plays the days of a world on a server: events, requests and outcomes as channels send them.

    05:00            events of the morning
    08:00 to 21:00   page views and requests, hour by hour; within an hour, over several connections
    22:00            acceptances and returns that are due, and what else followed the decisions
    23:50            the server learns, and everything that is due is settled

All requests of one customer go over the same connection, so they keep their order. Their ids follow
from world, seed and day, so a simulation that was interrupted is run again from the start: what the
server knows already is a duplicate, and it answers with the decisions that it made then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from features.errors import InvalidSetting
from serving.cli.simulation.client import ServerClient, ServerConnections
from serving.cli.simulation.server_clock import ServerClock
from training.arrays import Floats, Ints
from training.simulation.business import (
    EVENING_MINUTE,
    LEARNING_MINUTE,
    LEAVING_MINUTE,
    MAX_DAYS,
    MORNING_MINUTE,
    ActionOutcomes,
    Arrivals,
    SimulatedBusiness,
    SimulatedEvent,
    SimulatedWorld,
)
from training.simulation.due_outcomes import due_outcomes

MAX_EVENTS = 500  # in one request
HOUR_MINUTES = 60

Job = Callable[[ServerClient], None]


class Named(NamedTuple):
    """An event with its id."""

    event_id: str
    event: SimulatedEvent


class ServerDays:
    """A world whose customers use a server.

    Parameters
    ----------
    begin : datetime
        Midnight before the first day.
    name : str
        Prefix of all ids.

    Attributes
    ----------
    arm : shape (n_customers,)
        Arm of each customer, as the server says; empty: not met yet.
    met_on : shape (n_customers,)
        Day on which the server first met each customer; `MAX_DAYS`: on none yet.
    value : shape (n_customers, n_days)
        Value of each customer on each day, from the day on which the server first met them.
    decisions, refused : int
        Decisions made, and those whose action the world does not allow; the latter were not shown.
    """

    def __init__(
        self,
        business: SimulatedBusiness,
        world: SimulatedWorld,
        connections: ServerConnections,
        clock: ServerClock,
        begin: datetime,
        name: str,
    ) -> None:
        self.business, self.world = business, world
        self._connections, self._clock, self._begin, self._name = connections, clock, begin, name
        self._due: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        n_customers = len(world.arrived_at)
        self.arm = np.full(n_customers, "", dtype="U7")
        self.met_on: Ints = np.full(n_customers, MAX_DAYS, dtype=np.int64)
        self.value: Floats = np.zeros((n_customers, world.days))
        self.decisions = self.refused = 0

    def play_day(self) -> None:
        """Play the next day.

        Raises
        ------
        InvalidSetting
            If the server does not answer, or refuses what the world sends.
        """
        arrivals, world = self.world.begin_day(), self.world
        actions = self._decide(arrivals)
        allowed = arrivals.allowed[np.arange(len(actions)), actions]
        self.decisions += len(actions)
        self.refused += int((~allowed).sum())
        actions[~allowed] = 0
        self._schedule(arrivals, actions, world.act(actions))
        world.end_day()
        self._end_day()
        met = self.arm != ""
        self.met_on[met] = np.minimum(self.met_on[met], world.day)
        self.value[met, world.day] = world.value_of_day()[met]

    def _decide(self, arrivals: Arrivals) -> Ints:
        """Send the events before the decisions and the requests; return the actions, shape (n,)."""
        actions = np.zeros(len(arrivals.customer), dtype=np.int64)
        by_minute: dict[int, list[Named]] = defaultdict(list)
        for one in self._named("before", self.world.events()):
            by_minute[_hour_end(one.event.minute)].append(one)
        asked: dict[int, list[tuple[int, Job]]] = defaultdict(list)
        sent = self.world.sent()
        for row, customer in enumerate(arrivals.customer.tolist()):
            body = self._request(customer, int(arrivals.channel[row]), sent[row])
            job = partial(self._ask, body=body, row=row, customer=customer, actions=actions)
            asked[_hour_end(int(self.world.arrived_at[customer]))].append((customer, job))
        for minute in sorted({*by_minute, *asked}):
            self._clock.advance(self._at(minute))
            self._send([*self._event_jobs(by_minute[minute]), *asked[minute]])
        return actions

    def _end_day(self) -> None:
        """Tell what followed the decisions, and let the server settle."""
        self._clock.advance(self._at(LEAVING_MINUTE))
        told = [
            (customer, partial(_post, "/v1/outcomes", body))
            for customer, body in self._due.pop(self.world.day, ())
        ]
        self._send([*told, *self._event_jobs(self._named("after", self.world.late_events()))])
        self._clock.settle(self._at(LEARNING_MINUTE))

    def _send(self, jobs: Iterable[tuple[int, Job]]) -> None:
        """Do the jobs of customers; those of one customer in their order."""
        parts: list[list[Job]] = [[] for _ in range(self._connections.count)]
        for customer, job in jobs:
            parts[customer % len(parts)].append(job)
        self._connections.each(lambda client, job: job(client), parts)

    def _named(self, when: str, events: Sequence[SimulatedEvent]) -> list[Named]:
        """Name the events of a day before or after the decisions by their place in the list."""
        prefix = f"{self._name}-d{self.world.day:03d}-{when}"
        return [Named(f"{prefix}-{place}", event) for place, event in enumerate(events)]

    def _event_jobs(self, events: Sequence[Named]) -> list[tuple[int, Job]]:
        """Divide events among the connections, so many to a request."""
        found, count = list[tuple[int, Job]](), self._connections.count
        for part in range(count):
            mine = [self._event(one) for one in events if one.event.customer % count == part]
            for start in range(0, len(mine), MAX_EVENTS):
                body = {"events": mine[start : start + MAX_EVENTS]}
                found.append((part, partial(_post_events, body, self.business.domain)))
        return found

    def _event(self, named: Named) -> dict[str, Any]:
        event = named.event
        return {
            "event_id": named.event_id,
            "type": event.type,
            "occurred_at": self._at(event.minute).isoformat(),
            "channel": event.channel,
            "customer_id": self.business.customer_id(event.customer),
            "properties": dict(event.properties),
        }

    def _request(self, customer: int, channel: int, context: dict[str, Any]) -> dict[str, Any]:
        return {
            "customer_id": self.business.customer_id(customer),
            "channel": self.business.channels[channel],
            "context": context,
            "decision_id": decision_id(self._name, self.world.day, customer),
        }

    def _ask(
        self, client: ServerClient, body: dict[str, Any], row: int, customer: int, actions: Ints
    ) -> None:
        answer = client.post("/v1/decide", body)
        actions[row] = self.business.names.index(answer["actions"][0]["action_id"])
        self.arm[customer] = answer["arm"]

    def _schedule(self, arrivals: Arrivals, actions: Ints, outcomes: ActionOutcomes) -> None:
        """Note when the acceptances and returns of today's actions are told; silence is not."""
        for row, after_days, is_return in due_outcomes(actions, outcomes):
            customer, day = int(arrivals.customer[row]), self.world.day + after_days
            name = decision_id(self._name, self.world.day, customer)
            body = {
                "decision_id": name,
                "action_id": self.business.names[actions[row]],
                "outcome": "accepted",
                "retracts" if is_return else "outcome_id": f"{name}-yes",
                "occurred_at": self._at(EVENING_MINUTE, day).isoformat(),
            }
            self._due[day].append((customer, body))

    def _at(self, minute: int, day: int | None = None) -> datetime:
        days = self.world.day if day is None else day
        return self._begin + timedelta(days=days, minutes=minute)


def decision_id(name: str, day: int, customer: int) -> str:
    """Name the decision of a customer on a day, of whom each day has one at most."""
    return f"{name}-d{day:03d}-{customer}"


def _hour_end(minute: int) -> int:
    """The minute to which the clock is set for what happens at a minute: the end of its hour."""
    return MORNING_MINUTE if minute <= MORNING_MINUTE else -(-(minute + 1) // 60) * HOUR_MINUTES


def _post(path: str, body: dict[str, Any], client: ServerClient) -> None:
    client.post(path, body)


def _post_events(body: dict[str, Any], domain: str, client: ServerClient) -> None:
    remedy = f"Start it with NBA_DOMAIN=features/domains/{domain}.yaml, or choose --world."
    answer = client.post("/v1/events", body, remedy)
    if answer["rejected"]:
        raise InvalidSetting(
            f"The server rejected an event: {answer['rejected'][0]['error']}",
            expected="a server of the domain file of the world",
            remedy=remedy,
        )
