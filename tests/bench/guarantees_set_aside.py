"""Checks that a customer whose past cannot be folded harms nobody else, and is named.

A property of one event was a text before the domain file was edited. The customer has no state, and
waits for one to be shown.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from tests.bench.guarantees_home import Home, event, serving_shop
from tests.bench.guarantees_report import Figure, none_of
from tests.server import Server

POISONED = "poisoned"
PEOPLE: dict[str, str | None] = dict.fromkeys(
    [POISONED, *(f"healthy-{number}" for number in range(20))]
)
NAMED_S = 30.0


class SetAsideSize(NamedTuple):
    """The number of calls of others."""

    calls: int


FULL, SMALL = SetAsideSize(100), SetAsideSize(10)


def run(size: SetAsideSize = FULL) -> list[Figure]:
    """Check a server of two workers in a new home."""
    env = {"NBA_WORKERS": "2", "NBA_MODELS_EVERY_S": "1"}
    with serving_shop(PEOPLE, **env) as (server, home):
        return measure(server, home, size)


def measure(server: Server, home: Home, size: SetAsideSize) -> list[Figure]:
    """Poison a customer of a server whose home knows `PEOPLE`; then others send and link."""
    with home.ledger() as ledger:
        ledger.write_now(_poison)
        failed = sum(
            server.post(path, body)[0] != 200
            for number in range(size.calls)
            for path, body in _requests(number)
        )
        sentence = _named(server)
        query = sa.select(tables.journey_states.c.problem)
        query = query.where(tables.journey_states.c.customer_id == POISONED)
        problem = ledger.read(lambda connection: connection.execute(query).scalar())
    return [
        none_of(
            "a past cannot be folded: events and links of others that failed",
            failed,
            2 * size.calls,
        ),
        Figure("/readyz says", sentence or "nothing", "how many customers", bool(sentence)),
        Figure("the ledger says", problem or "nothing", "the reason", bool(problem)),
    ]


def _poison(connection: sa.Connection) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    row = {"customer_id": POISONED, "subject": POISONED, "event_id": "poison", "occurred_at": at}
    row |= {"type": "purchase", "channel": "app", "properties": '{"amount_eur": "a lot"}'}
    waits = {"customer_id": POISONED, "state": None, "last_at": None, "last_event_id": None}
    waits |= {"online": False, "profile_online": False, "restated_at": at}
    tables.insert_new(connection, tables.events, [row])
    tables.upsert(connection, tables.journey_states, [waits])


def _requests(number: int) -> list[tuple[str, object]]:
    customer = f"healthy-{number % (len(PEOPLE) - 1)}"
    link = {"keys": [customer, f"cookie:{customer}-{number}"], "cause": "bench"}
    visit = event(f"healthy-visit-{number}", customer)
    return [("/v1/events", {"events": [visit]}), ("/v1/link", link)]


def _named(server: Server) -> str:
    """The sentence of `/readyz` about customers who are set aside; empty if there is none."""

    def sentence() -> str:
        degraded = server.get("/readyz")[1]["degraded"]
        return next((one for one in degraded if "1 customer" in one or POISONED in one), "")

    try:
        return str(server.wait_for(sentence, NAMED_S))
    except AssertionError:
        return ""
