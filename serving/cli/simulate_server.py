"""Tests a server over HTTP with the customers of a simulated world.

Simulated days pass as fast as the server answers. The windows of its contact policy count real
time and so do not move on: a customer is shown no more than one window allows. The value is known
from the world, and is compared with that of the server's own control group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from features.clock import utc_now
from features.errors import InvalidSetting
from features.intervals import ConfidenceInterval
from features.progress import Progress, quiet
from serving.access.gate import bearer
from training.arrays import Bools, Floats, Ints
from training.simulation.business import ActionOutcomes, Arrivals, SimulatedEvent
from training.simulation.businesses import TELEPHONE
from training.simulation.report import difference
from training.simulation.telephone.actions import CHANNELS, NAMES
from training.simulation.telephone.world import TelephoneWorld

MAX_EVENTS = 500  # in one request
IGNORED_AFTER_DAYS = 7
TIMEOUT_S = 30


class ServerClient:
    """HTTP client of a server.

    Parameters
    ----------
    url
        Such as ``http://localhost:3000``.
    key
        A key of the server, if it needs one.
    """

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidSetting(
                f"url is {url!r}.",
                expected="an address such as http://localhost:3000",
                remedy="Correct --url.",
            )
        self._url = url
        self._headers = {"content-type": "application/json", **bearer(key)}
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.netloc, timeout=TIMEOUT_S)

    def post(self, path: str, body: Any) -> Any:
        """Send a JSON body and return the parsed answer.

        Raises
        ------
        InvalidSetting
            If the server does not answer, or answers with an error, which is quoted.
        """
        try:
            content = json.dumps(body)
            self._connection.request("POST", path, content, self._headers)
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise InvalidSetting(
                f"{self._url} does not answer ({type(error).__name__}).",
                expected="a started server",
                remedy="Start one: NBA_DOMAIN=features/domains/world.yaml nba serve",
            ) from error
        if answer.status != 200:
            raise InvalidSetting(
                f"{self._url}{path} answered {answer.status}: {text[:300]}.",
                expected="a server of features/domains/world.yaml that knows the customers",
                remedy="Load them: nba simulate --tables FOLDER, then nba load FOLDER.",
            )
        return json.loads(text)


@dataclass(frozen=True)
class ServerResult:
    """Value of a server's customers by arm, and counts of its decisions.

    Attributes
    ----------
    value_of_customer_eur : shape (n_customers,)
        Sales that were not returned, less costs, less the loss if the customer left.
    control : shape (n_customers,)
        True for members of the server's control group.
    decided : shape (n_customers,)
        True for customers with at least one decision.
    decisions, refused : int
        Decisions made, and those whose action the world's contact policy did not allow; the
        latter were not shown.
    lead : ConfidenceInterval or None
        Mean value of the policy's customers less that of the control group; None with fewer than
        two customers in an arm.
    """

    value_of_customer_eur: Floats
    control: Bools
    decided: Bools
    decisions: int
    refused: int
    lift: ConfidenceInterval | None


@dataclass
class _ServerSimulation:
    """A world whose customers send events and requests to a server."""

    world: TelephoneWorld
    client: ServerClient
    prefix: str
    due: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    control: Bools = field(init=False)
    decided: Bools = field(init=False)
    decisions: int = 0
    refused: int = 0
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        n = len(self.world.traits.age)
        self.control, self.decided = (np.zeros(n, dtype=np.bool_) for _ in range(2))

    def begin_day(self) -> Arrivals:
        """Begin a day and send its events."""
        arrivals = self.world.begin_day()
        self._send([self._event(event) for event in self.world.events()])
        return arrivals

    def decide(self, arrivals: Arrivals) -> tuple[Ints, list[str]]:
        """Request a decision for each arrival; return the shown actions and the decision ids."""
        actions, ids = np.zeros(len(arrivals.customer), dtype=np.int64), []
        sent = self.world.sent()
        for row, (customer, channel) in enumerate(
            zip(arrivals.customer, arrivals.channel, strict=True)
        ):
            body: dict[str, Any] = {
                "customer_id": customer_id(customer),
                "channel": CHANNELS[channel],
                "context": sent[row],
                "decision_id": f"{self.prefix}-{self.world.day}-{customer}",
            }
            answer = self.client.post("/v1/decide", body)
            action = NAMES.index(answer["actions"][0]["action_id"])
            self.control[customer], self.decided[customer] = answer["arm"] == "random", True
            self.decisions += 1
            if arrivals.allowed[row, action]:
                actions[row] = action
            else:
                self.refused += 1
            ids.append(body["decision_id"])
        return actions, ids

    def schedule(self, actions: Ints, ids: Sequence[str], outcomes: ActionOutcomes) -> None:
        """Schedule the outcomes to be sent on later days."""
        today = self.world.day
        for row, action in enumerate(actions):
            if action == 0:
                continue
            about = {"decision_id": ids[row], "action_id": NAMES[action]}
            if not outcomes.accepted[row]:
                self._add(today + IGNORED_AFTER_DAYS, about | {"outcome": "ignored"})
                continue
            accepted = about | {"outcome": "accepted", "outcome_id": f"{ids[row]}-yes"}
            self._add(today + int(outcomes.accepted_after_days[row]), accepted)
            returned = about | {"outcome": "accepted", "retracts": f"{ids[row]}-yes"}
            self._add(today + int(outcomes.returned_after_days[row]), returned)

    def end_day(self) -> Bools:
        """Send the outcomes that are due, end the day, and send events for customers who left."""
        for outcome in self.due.pop(self.world.day, []):
            self.client.post("/v1/outcomes", outcome)
        left = self.world.end_day()
        self._send([self._event(event) for event in self.world.late_events()])
        return left

    def _add(self, day: int, outcome: dict[str, Any]) -> None:
        if day < self.world.days:  # the simulation is over then
            self.due.setdefault(day, []).append(outcome)

    def _event(self, event: SimulatedEvent) -> dict[str, Any]:
        number = next(self.numbers)
        return {
            "event_id": f"{self.prefix}-{self.world.day}-{event.customer}-{event.type}-{number}",
            "type": event.type,
            "occurred_at": utc_now().isoformat(),
            "channel": event.channel,
            "customer_id": customer_id(event.customer),
            "properties": dict(event.properties),
        }

    def _send(self, events: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(events), MAX_EVENTS):
            body = {"events": events[start : start + MAX_EVENTS]}
            answer = self.client.post("/v1/events", body)
            if answer["rejected"]:
                raise InvalidSetting(
                    f"The server rejected an event: {answer['rejected'][0]['error']}",
                    expected="a server of features/domains/world.yaml",
                    remedy="Start it with NBA_DOMAIN=features/domains/world.yaml.",
                )


def simulate_server(
    url: str,
    customers: int,
    days: int,
    seed: int,
    progress: Progress = quiet,
    key: str = "",
) -> ServerResult:
    """Let the customers of a world use a server for some days.

    Raises
    ------
    InvalidSetting
        If the server does not answer, or serves another business.
    """
    world = TelephoneWorld(customers, seed, days)
    suffix = utc_now().strftime("%H%M%S%f")
    server = _ServerSimulation(world, ServerClient(url, key), f"world-{seed}-{suffix}")
    value = np.zeros(customers)
    for day in range(days):
        arrivals = server.begin_day()
        actions, ids = server.decide(arrivals)
        server.schedule(actions, ids, world.act(actions))
        server.end_day()
        value += world.value_of_day()
        progress("simulate server", day + 1, days)
    policy, control = server.decided & ~server.control, server.decided & server.control
    lift = difference(value[policy], value[control])
    return ServerResult(
        value, server.control, server.decided, server.decisions, server.refused, lift
    )


def customer_id(customer: int) -> str:
    """Return the id of a customer of a world, by number."""
    return TELEPHONE.customer_id(customer)


def write_customers(folder: Path, customers: int, seed: int) -> Path:
    """Write the customers of a world as a table for `nba load`."""
    table = TELEPHONE.make_world(customers, seed, 1).customers()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "customers.csv"
    table.to_csv(path, index=False)
    return path
