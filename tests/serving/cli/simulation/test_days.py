"""Days of a world as requests, sent to a stand-in for a server that shows what it was told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.errors import InvalidSetting
from serving.cli.simulation.days import ServerDays
from training.simulation.business import MAX_DAYS
from training.simulation.businesses import TELEPHONE

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
CUSTOMERS, DAYS = 150, 20


class StandIn:
    """A server, its clock and three connections to it; it shows the first offer that it may."""

    def __init__(self, rejects: bool = False) -> None:
        self.count, self.now = 3, BEGIN
        self.sent: list[tuple[int, datetime, str, Any]] = []  # connection, time, path, body
        self.rejects = rejects

    def each(self, work: Callable[[Any, Any], None], parts: Iterable[Sequence[Any]]) -> None:
        for number, part in enumerate(parts):
            for one in part:
                work(_Client(self, number), one)

    def advance(self, to: datetime) -> None:
        assert to >= self.now
        self.now = to

    settle = advance


class _Client:
    def __init__(self, server: StandIn, number: int) -> None:
        self._server, self._number = server, number

    def post(self, path: str, body: Any, remedy: str = "") -> Any:
        server = self._server
        server.sent.append((self._number, server.now, path, body))
        if path == "/v1/events":
            return {"rejected": [{"error": "It is unknown."}] if server.rejects else []}
        about = int(body.get("customer_id", "w0")[1:])
        action = TELEPHONE.names[1 + about % 3]
        return {"actions": [{"action_id": action}], "arm": "policy" if about % 2 else "nobody"}


@pytest.fixture(scope="module")
def played():
    server, world = StandIn(), TELEPHONE.make_world(CUSTOMERS, 3, DAYS)
    days = ServerDays(TELEPHONE, world, server, server, BEGIN, "try")  # type: ignore[arg-type]
    for _ in range(DAYS):
        days.play_day()
    return days, server


def asked(server: StandIn, path: str) -> list[tuple[int, datetime, Any]]:
    return [(number, at, body) for number, at, its, body in server.sent if its == path]


def test_each_customer_is_always_on_the_same_connection(played):
    _, server = played
    connections = defaultdict(set)
    for number, _, body in asked(server, "/v1/decide"):
        connections[body["customer_id"]].add(number)
    for number, _, body in asked(server, "/v1/events"):
        for event in body["events"]:
            connections[event["customer_id"]].add(number)
    assert len(connections) > CUSTOMERS / 2
    assert all(len(found) == 1 for found in connections.values())


def test_ids_are_named_once_and_no_event_is_of_the_future(played):
    _, server = played
    decisions = [body["decision_id"] for _, _, body in asked(server, "/v1/decide")]
    events = [
        (event, at) for _, at, body in asked(server, "/v1/events") for event in body["events"]
    ]
    assert len({*decisions}) == len(decisions) == played[0].decisions
    assert len({event["event_id"] for event, _ in events}) == len(events) > 100
    assert all(datetime.fromisoformat(event["occurred_at"]) <= at for event, at in events)


def test_a_page_view_comes_before_the_request_of_the_same_customer(played):
    _, server = played
    seen: set[tuple[str, Any]] = set()
    looked = 0
    for _, at, path, body in server.sent:
        if path == "/v1/events":
            views = [one for one in body["events"] if one["type"] == "page_view"]
            seen |= {(one["customer_id"], at.date()) for one in views}
        elif path == "/v1/decide" and body["context"]:
            looked += 1
            assert (body["customer_id"], at.date()) in seen
    assert looked > 50


def test_what_the_world_does_not_allow_is_counted_and_not_shown(played):
    days, _ = played
    assert 0 < days.refused < days.decisions
    assert (days.world.shown > 0).sum() == days.decisions - days.refused


def test_acceptances_are_told_in_the_evening_and_returns_retract_them(played):
    days, server = played
    decided = {body["decision_id"]: at for _, at, body in asked(server, "/v1/decide")}
    told = [(at, body) for _, at, body in asked(server, "/v1/outcomes")]
    accepted = {body["outcome_id"]: at for at, body in told if "outcome_id" in body}
    returns = [(at, body) for at, body in told if "retracts" in body]
    assert len(accepted) > 20 and returns
    for at, body in told:
        assert datetime.fromisoformat(body["occurred_at"]) <= at
        assert timedelta(0) < at - decided[body["decision_id"]] < timedelta(days=20)
    assert all(at > accepted[body["retracts"]] for at, body in returns)


def test_value_counts_from_the_day_on_which_a_customer_was_met(played):
    days, _ = played
    met = days.arm != ""
    assert (days.met_on[~met] == MAX_DAYS).all() and (days.met_on[met] < DAYS).all()
    assert not days.value[~met].any()
    for customer in np.flatnonzero(met):
        assert not days.value[customer, : days.met_on[customer]].any()
    again = TELEPHONE.make_world(CUSTOMERS, 3, DAYS)
    total = np.zeros(CUSTOMERS)
    for day in range(DAYS):
        arrivals = again.begin_day()
        again.act(days.world.shown[arrivals.customer, day].astype(np.int64))
        again.end_day()
        total += again.value_of_day() * (days.met_on <= day)
    np.testing.assert_allclose(days.value.sum(axis=1), total)


def test_an_event_that_the_server_does_not_know_ends_the_simulation():
    server, world = StandIn(rejects=True), TELEPHONE.make_world(CUSTOMERS, 3, DAYS)
    days = ServerDays(TELEPHONE, world, server, server, BEGIN, "try")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"rejected an event: It is unknown\..*world\.yaml"):
        days.play_day()
