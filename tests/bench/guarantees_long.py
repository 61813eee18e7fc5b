"""Measures late events and links of a customer and an account with a long past.

Meanwhile another client asks for decisions about other customers, and for the no-op route in turns,
at a steady rate: the decisions must not be slower than the no-op of the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from features.business.domain import load_domain
from features.journeys.model_input import ModelInput
from features.store.feast_store import FeatureStore
from tests.bench.guarantees_home import Home, event, serving_shop
from tests.bench.guarantees_identifiers import decide
from tests.bench.guarantees_load import Request, Sent, steady
from tests.bench.guarantees_report import Figure, at_least, at_most, none_of, told
from tests.server import Server

LONG, OTHER_LONG, SHORT = "long-1", "long-2", "short-1"
MEMBERS = [f"member-{number}" for number in range(20)]
OTHERS = [f"other-{number}" for number in range(500)]
PEOPLE: dict[str, str | None] = {
    **dict.fromkeys([LONG, OTHER_LONG, SHORT, *OTHERS]),
    **dict.fromkeys(MEMBERS, "long-account"),
}
SPAN = timedelta(days=365)
LATE_BY = {
    "seconds": timedelta(seconds=5),
    "minutes": timedelta(minutes=4),
    "a day": timedelta(days=1),
}
LATE_S, LINK_S = 0.3, 3.0
SETTLED_S = 30.0  # after a change that failed
WITHIN_MS, WITHIN_SHARE = 50.0, 99.9


class LongSize(NamedTuple):
    """The load.

    Attributes
    ----------
    events : of each long past
    rounds, links : of late events, and of links
    per_s : decisions for others in a second
    rest_s : between two changes
    """

    events: int
    rounds: int
    links: int
    per_s: float
    rest_s: float


FULL = LongSize(events=100_000, rounds=8, links=3, per_s=50, rest_s=0.4)
SMALL = LongSize(events=3000, rounds=1, links=1, per_s=50, rest_s=0.05)


def run(size: LongSize = FULL) -> list[Figure]:
    """Measure a server of two workers in a new home."""
    env = {"NBA_WORKERS": "2", "NBA_NOOP": "true"}
    with serving_shop(PEOPLE, events(size), **env) as (server, home):
        return measure(server, home, size)


def events(size: LongSize) -> pa.Table:
    """The past of `PEOPLE` as a contract table: spread over a year, until an hour ago."""
    rng = np.random.default_rng(size.events)
    who = np.concatenate(
        [
            np.repeat([LONG, OTHER_LONG], size.events),
            rng.choice(MEMBERS, size.events),
            np.repeat([SHORT, *OTHERS], 2),
        ]
    )
    newest = datetime.now(UTC) - timedelta(hours=1)
    before_us = rng.integers(int(SPAN.total_seconds() * 1e6), size=len(who))
    at = [newest - timedelta(microseconds=int(one)) for one in before_us]
    columns = {"event_id": [f"past-{number}" for number in range(len(who))], "customer_id": who}
    columns |= {"type": rng.choice(["visit", "page_view", "call"], len(who))}
    return pa.table({**columns, "channel": rng.choice(["app", "web"], len(who)), "occurred_at": at})


def measure(server: Server, home: Home, size: LongSize) -> list[Figure]:
    """Send late events and links to a server with the no-op route, whose home knows `PEOPLE`."""
    changes = _Changes(server, home, size)
    with _others(server, size.per_s) as (decided, noop):
        time.sleep(size.rest_s)
        for _ in range(size.rounds):
            changes.late_events("customer", lambda: LONG)
            changes.late_events("account", lambda: str(changes.rng.choice(MEMBERS)))
        for _ in range(size.links):
            changes.link("a long customer with a short one", LONG, SHORT)
            changes.link("two long customers", LONG, OTHER_LONG)
        time.sleep(size.rest_s)
    return [*changes.figures(), *compared(decided, noop)]


class _Changes:
    """Changes the past of long customers, and notes how long each change takes."""

    def __init__(self, server: Server, home: Home, size: LongSize) -> None:
        settings = home.settings
        domain = load_domain(settings.domain)
        self.rng = np.random.default_rng(0)
        self._server = server.again()
        self._store, self._fold = FeatureStore(settings, domain), ModelInput(domain).fold
        self._numbers = count()
        self._times: dict[str, list[float]] = {}
        self._size = size
        self._checked = 0
        self._not_shown: list[str] = []
        self._failed: list[str] = []

    def late_events(self, whose: str, customer: Callable[[], str]) -> None:
        """Send an event of now, and then a late one of each kind."""
        self._event(f"event in order, long {whose}", customer(), timedelta())
        for name, late in LATE_BY.items():
            self._event(f"event late by {name}, long {whose}", customer(), late)

    def _event(self, name: str, customer: str, late: timedelta) -> None:
        after = self._shown(customer) + (2 if PEOPLE[customer] else 1)  # the account's, too
        one = event(f"late-{next(self._numbers)}", customer, at=datetime.now(UTC) - late)
        body = {"events": [one]}
        self._change(name, "/v1/events", body, lambda: self._shown(customer) == after)

    def link(self, name: str, left: str, right: str) -> None:
        """Link two customers, and undo it."""
        apart = self._shown(left), self._shown(right)
        body = {"keys": [left, right], "cause": "bench"}
        self._change(
            f"link of {name}", "/v1/link", body, lambda: max(self._both(body)) == sum(apart)
        )
        self._change(f"unlink of {name}", "/v1/unlink", body, lambda: self._both(body) == apart)

    def _both(self, body: Mapping[str, Any]) -> tuple[int, int]:
        left, right = body["keys"]
        return self._shown(left), self._shown(right)

    def _change(self, name: str, path: str, body: Any, shown: Callable[[], bool]) -> None:
        """Send a change; ``shown()`` must be true when it is answered."""
        if self._timed(name, path, body):
            self._check(name, shown())
        end = time.monotonic() + SETTLED_S  # or a failed change would be counted twice
        while not shown() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(self._size.rest_s)

    def _timed(self, name: str, path: str, body: object) -> bool:
        """Send a request and note its time; tell whether it succeeded."""
        began = time.perf_counter()
        status, _ = self._server.post(path, body)
        self._failed += [] if status == 200 else [f"{name} ({status})"]
        self._times.setdefault(name, []).append(time.perf_counter() - began)
        return status == 200

    def _shown(self, customer: str) -> int:
        """Count the events in the states that the online store shows: the account's, too."""
        shown = self._store.online(customer)
        states = (shown.state, shown.account_state) if shown else ()
        return sum(self._fold.events_n(state) for state in states if state)

    def _check(self, name: str, holds: bool) -> None:
        self._checked += 1
        self._not_shown += [] if holds else [name]

    def figures(self) -> list[Figure]:
        """Compare the longest time of each change with what is asked; an unlink is told only."""
        found = []
        for name, times in self._times.items():
            limit = inf if name.startswith("unlink") else LINK_S if "link" in name else LATE_S
            one = at_most(f"{name}: longest", max(times), limit, "s", len(times))
            found.append(one if isfinite(limit) else one._replace(asked=""))
        past = f"pasts of {self._size.events:,} events: changes"
        changes = sum(map(len, self._times.values()))
        failed = ", ".join(sorted({*self._failed}))
        not_shown = ", ".join(sorted({*self._not_shown}))
        return [
            *found,
            none_of(f"{past} that failed", len(self._failed), changes, failed),
            none_of(f"{past} not shown after", len(self._not_shown), self._checked, not_shown),
        ]


@contextmanager
def _others(server: Server, per_s: float) -> Iterator[tuple[list[Sent], list[Sent]]]:
    """Ask for decisions about `OTHERS` and for the no-op in turns, for the length of the block.

    The two have connections of their own, or the no-op would wait behind the decisions.
    """
    bodies = [decide(customer) for customer in OTHERS]

    def noop(number: int) -> Request:
        return "/v1/noop", bodies[number % len(bodies)][1]

    def decision(number: int) -> Request:
        return bodies[number % len(bodies)]

    with steady(server, per_s, decision) as decided, steady(server, per_s, noop) as empty:
        yield decided, empty


def compared(decided: Sequence[Sent], empty: Sequence[Sent]) -> list[Figure]:
    """Compare decisions with the no-op of the same server at the same time."""
    times, noop = (np.array([one.ms for one in sent]) for sent in (decided, empty))
    failed = sum(one.status != 200 for one in (*decided, *empty))
    within, of_noop = (100 * float((one <= WITHIN_MS).mean()) for one in (times, noop))
    name = f"{len(times):,} decisions for others"
    longest, limit = float(times.max()), 2 * float(noop.max())
    return [
        none_of("requests of others that failed", failed, len(times) + len(noop)),
        told("no-op meanwhile: share within 50 ms", of_noop, "%"),
        at_least(f"{name}: share within 50 ms", within, WITHIN_SHARE, "%"),
        told("no-op meanwhile: longest", float(noop.max()), "ms"),
        at_most(f"{name}: longest, twice the no-op's", longest, limit, "ms"),
    ]
