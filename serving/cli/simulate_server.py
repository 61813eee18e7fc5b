"""A server in a rehearsal: the customers of a simulated world call it over HTTP.

Its days pass as fast as the server answers, so the windows of its contact policy, which count real
time, do not move on: no customer is shown more than they allow in one window. What it earns is
known from the world; the server's control group, drawn by itself, is what it is compared with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from features.clock import utc_now
from features.errors import InvalidSetting
from features.intervals import ConfidenceInterval
from training.arrays import Bools, Floats, Ints
from training.simulation.actions import CHANNELS, NAMES
from training.simulation.customer_state import PAGES
from training.simulation.customers import PLANS
from training.simulation.report import difference
from training.simulation.world import Followed, Moments, World

MOST_EVENTS = 500  # in one request
IGNORED_AFTER_DAYS = 7
TIMEOUT_S = 30


class Caller:
    """Speaks to a server.

    Parameters
    ----------
    url
        Such as ``http://localhost:3000``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidSetting(
                f"url is {url!r}.",
                expected="an address such as http://localhost:3000",
                remedy="Correct --url.",
            )
        self._url = url
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.netloc, timeout=TIMEOUT_S)

    def post(self, path: str, body: Any) -> Any:
        """The parsed answer.

        Raises
        ------
        InvalidSetting
            If nobody answers, or the server refuses; with what it said.
        """
        try:
            content = json.dumps(body)
            self._connection.request("POST", path, content, {"content-type": "application/json"})
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise InvalidSetting(
                f"{self._url} does not answer ({error}).",
                expected="a started server",
                remedy="Start one: NBA_DOMAIN=features/domains/world.yaml nba serve",
            ) from error
        if answer.status != 200:
            raise InvalidSetting(
                f"{self._url}{path} answered {answer.status}: {text[:300]}.",
                expected="a server of features/domains/world.yaml that knows the customers",
                remedy="Load them: nba rehearse --tables FOLDER, then nba load FOLDER.",
            )
        return json.loads(text)


@dataclass(frozen=True)
class Met:
    """How a server did.

    Attributes
    ----------
    value_of_customer_eur : shape (n_customers,)
        Kept sales less costs less what was lost with those who left.
    control : shape (n_customers,)
        Who was in the server's control group.
    seen : shape (n_customers,)
        Of whom anything was decided.
    decisions, refused : int
        How many were made; and how many of them the world's own contact policy would not have
        allowed, and which were not shown.
    lead : ConfidenceInterval or None
        Value of a customer of the policy less that of a control customer; None with too few.
    """

    value_of_customer_eur: Floats
    control: Bools
    seen: Bools
    decisions: int
    refused: int
    lead: ConfidenceInterval | None


@dataclass
class _Calls:
    """A world whose customers call a server."""

    world: World
    caller: Caller
    prefix: str
    due: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    complained: Bools = field(init=False)
    control: Bools = field(init=False)
    seen: Bools = field(init=False)
    decisions: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        n = len(self.world.people.age)
        self.complained, self.control, self.seen = (np.zeros(n, dtype=np.bool_) for _ in range(3))

    def morning(self) -> Moments:
        """A day begins, and the server hears what has happened."""
        moments, state = self.world.morning(), self.world.state
        changed = np.flatnonzero((state.problem_open != self.complained) & state.here).tolist()
        events = [
            self._event(who, "complaint_opened" if state.problem_open[who] else "complaint_closed")
            for who in changed
        ]
        self.complained = state.problem_open.copy()
        for who, channel in zip(moments.who, moments.channel, strict=True):
            if state.page[who] >= 0:
                page = {"page": PAGES[state.page[who]]}
                events.append(self._event(who, "page_view", CHANNELS[channel], page))
        self._send(events)
        return moments

    def decide(self, moments: Moments) -> tuple[Ints, list[str]]:
        """What the server decides for each moment, and the decisions' ids."""
        actions, ids = np.zeros(len(moments.who), dtype=np.int64), []
        for row, (who, channel) in enumerate(zip(moments.who, moments.channel, strict=True)):
            page = self.world.state.page[who]
            body: dict[str, Any] = {
                "customer_id": customer_id(who),
                "channel": CHANNELS[channel],
                "context": {"page": PAGES[page]} if page >= 0 else {},
                "decision_id": f"{self.prefix}-{self.world.day}-{who}",
            }
            answer = self.caller.post("/v1/decide", body)
            action = NAMES.index(answer["actions"][0]["action_id"])
            self.control[who], self.seen[who] = answer["arm"] == "control", True
            self.decisions += 1
            if moments.allowed[row, action]:
                actions[row] = action
            else:
                self.refused += 1
            ids.append(body["decision_id"])
        return actions, ids

    def note(self, actions: Ints, ids: Sequence[str], followed: Followed) -> None:
        """Remember what has to be told, and when."""
        today = self.world.day
        for row, action in enumerate(actions):
            if action == 0:
                continue
            about = {"decision_id": ids[row], "action_id": NAMES[action]}
            if not followed.accepted[row]:
                self._later(today + IGNORED_AFTER_DAYS, about | {"outcome": "ignored"})
                continue
            told = about | {"outcome": "accepted", "outcome_id": f"{ids[row]}-yes"}
            self._later(today + int(followed.after_days[row]), told)
            back = about | {"outcome": "accepted", "retracts": f"{ids[row]}-yes"}
            self._later(today + int(followed.back_after_days[row]), back)

    def evening(self) -> Bools:
        """What is due is told; some customers leave."""
        for outcome in self.due.pop(self.world.day, []):
            self.caller.post("/v1/outcomes", outcome)
        left = self.world.evening()
        self._send([self._event(who, "left") for who in np.flatnonzero(left).tolist()])
        return left

    def _later(self, day: int, outcome: dict[str, Any]) -> None:
        if day < self.world.days:  # nobody is there to tell it after that
            self.due.setdefault(day, []).append(outcome)

    def _event(
        self, who: int, kind: str, channel: str = "web", properties: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return {
            "event_id": f"{self.prefix}-{self.world.day}-{who}-{kind}",
            "type": kind,
            "occurred_at": utc_now().isoformat(),
            "channel": channel,
            "customer_id": customer_id(who),
            "properties": properties or {},
        }

    def _send(self, events: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(events), MOST_EVENTS):
            body = {"events": events[start : start + MOST_EVENTS]}
            answer = self.caller.post("/v1/events", body)
            if answer["rejected"]:
                raise InvalidSetting(
                    f"The server rejected an event: {answer['rejected'][0]['error']}",
                    expected="a server of features/domains/world.yaml",
                    remedy="Start it with NBA_DOMAIN=features/domains/world.yaml.",
                )


def rehearse_server(
    url: str,
    customers: int,
    days: int,
    seed: int,
    report: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Met:
    """Let the customers of a world call a server for some days.

    Raises
    ------
    InvalidSetting
        If the server does not answer, or is another business's.
    """
    world = World(customers, seed, days)
    stamp = utc_now().strftime("%H%M%S%f")
    calls = _Calls(world, Caller(url), f"world-{seed}-{stamp}")
    value = np.zeros(customers)
    for day in range(days):
        moments = calls.morning()
        actions, ids = calls.decide(moments)
        followed = world.act(actions)
        calls.note(actions, ids, followed)
        value[moments.who] += followed.kept_eur
        value -= calls.evening() * world.people.lost_eur
        report("rehearse the server", day + 1, days)
    policy, control = calls.seen & ~calls.control, calls.seen & calls.control
    lead = difference(value[policy], value[control])
    return Met(value, calls.control, calls.seen, calls.decisions, calls.refused, lead)


def customer_id(who: int) -> str:
    """Of a customer of a world, by number."""
    return f"w{who}"


def write_customers(folder: Path, customers: int, seed: int) -> Path:
    """The customers of a world as a contract table for `nba load`."""
    people = World(customers, seed, 1).people
    table = pd.DataFrame(
        {
            "customer_id": [customer_id(who) for who in range(customers)],
            "age": people.age.round().astype(int),
            "home_size": people.home_size.astype(int),
            "plan": _named(PLANS, people.plan),
            "rural": _named(("no", "yes"), people.rural.astype(np.int64)),
            "tenure_months": people.tenure_months.round(1),
            "margin_eur": people.margin_eur.round(2),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "customers.csv"
    table.to_csv(path, index=False)
    return path


def _named(names: Sequence[str], indexes: Iterable[int]) -> list[str]:
    return [names[index] for index in indexes]
