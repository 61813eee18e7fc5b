"""Checks over HTTP that customers who share a device stay several, and that merging has a limit.

Five customers log in on one device, and somebody views a page after each login. The ten events are
sent in a random order. Then one of the five is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import yaml

from tests.bench.guarantees_home import (
    CHANNEL,
    Business,
    catalog_of_shop,
    event,
    send,
    serving_shop,
)
from tests.bench.guarantees_report import Figure, none_of
from tests.conftest import SHOP
from tests.server import Server

FULL, SMALL = 50, 3  # random orders
CUSTOMERS = 5
ADDRESSES, LARGEST = 60, 50  # e-mail addresses of one customer; the most keys of a customer
SEED = 20261129


class Seen(NamedTuple):
    """The result of one order of logins.

    Attributes
    ----------
    customers
        The number of customers that the five customer ids lead to.
    erased
        The number of the five that are refused after one was forgotten.
    right
        Each page view was in the timeline of its holder alone. After the erasure the others were as
        before, and the device led to the last holder.
    """

    customers: int
    erased: int
    right: bool


def run(orders: int = FULL) -> list[Figure]:
    """Measure two workers in a new home."""
    domain = yaml.safe_load((SHOP / "domain.yaml").read_text(encoding="utf-8"))
    identifiers = {**domain["identifiers"], "email": {"kind": "personal", "normalize": "lower"}}
    business = Business({**domain, "identifiers": identifiers}, catalog_of_shop())
    with serving_shop({"a_customer": None}, business=business, NBA_WORKERS="2") as (server, _):
        return [*measure(server, orders), *measure_limit(server)]


def measure(server: Server, orders: int) -> list[Figure]:
    """Send the logins of five customers on one device, in each of some orders."""
    rng = np.random.default_rng(SEED)
    seen = [_in_one_order(server, f"kiosk{number}", rng) for number in range(orders)]
    many = f"{CUSTOMERS} customers of one device, {orders} orders of logins"
    return [
        _each(f"{many}: customers found", [one.customers for one in seen], CUSTOMERS),
        _each(f"{many}: erased by forgetting one", [one.erased for one in seen], 1),
        none_of(
            "orders in which anything else happened", sum(not one.right for one in seen), orders
        ),
    ]


def _each(subject: str, counts: Sequence[int], asked: int) -> Figure:
    low, high = min(counts), max(counts)
    measured = f"{low} each" if low == high else f"{low} to {high}"
    return Figure(subject, measured, f"{asked} each", low == high == asked)


def _in_one_order(server: Server, name: str, rng: np.random.Generator) -> Seen:
    people = [f"{name}-{number}" for number in range(CUSTOMERS)]
    device, begin = f"cookie:{name}", datetime.now(UTC) - timedelta(days=1)
    events = []
    for number, who in enumerate(people):
        at = begin + timedelta(hours=2 * number)
        events.append(event(f"{who}-login", who, at=at, identifiers=[device]))
        viewed = event(f"{who}-page", who, "page_view", at + timedelta(hours=1))
        del viewed["customer_id"]
        events.append({**viewed, "identifiers": [device]})
    for place in rng.permutation(len(events)):
        send(server, events[place])
    before = [_view(server, who) for who in people]
    right = all(
        _events_of(found) == {f"{who}-login", f"{who}-page"} and found["customer_id"] == who
        for who, (_, found) in zip(people, before, strict=True)
    )
    gone = people[rng.integers(CUSTOMERS)]
    status, _ = server.post("/v1/forget", {"customer_id": gone})
    after = [_view(server, who) for who in people]
    others = [place for place, who in enumerate(people) if who != gone]
    right &= status == 200 and all(before[place] == after[place] for place in others)
    right &= _holder(server, device) == (None if gone == people[-1] else people[-1])
    customers = len({found.get("customer_id") for _, found in before})
    return Seen(customers, sum(status == 410 for status, _ in after), right)


def _view(server: Server, customer_id: str) -> tuple[int, Any]:
    """Ask for a customer without the predictions, which change with the hour."""
    status, answer = server.post("/v1/customer", {"customer_id": customer_id})
    answer.pop("predictions", None)
    return status, answer


def _events_of(found: Any) -> set[str]:
    return {one["id"] for one in found["timeline"]}


def _holder(server: Server, device: str) -> str | None:
    """Ask for a decision by the device; its customer, or None if it is refused as forgotten."""
    status, answer = server.post("/v1/decide", {"identifiers": [device], "channel": CHANNEL})
    assert status in (200, 410), answer
    return str(answer["customer_id"]) if status == 200 else None


def measure_limit(server: Server) -> list[Figure]:
    """Send many e-mail addresses with one customer id."""
    who = "with-many-addresses"
    for number in range(ADDRESSES):
        send(server, event(f"{who}-{number}", who, identifiers=[f"email:{number}@many.it"]))
    keys = len(_view(server, who)[1]["identifiers"])
    status, answer = server.post("/v1/merge_candidates", {"limit": 200})
    assert status == 200, answer
    noted = sum(who in (one["left"], one["right"]) for one in answer["candidates"])
    some = f"{ADDRESSES} e-mail addresses with one customer id"
    return [
        Figure(f"{some}: keys of the customer", f"{keys}", f"at most {LARGEST}", keys <= LARGEST),
        Figure(
            f"{some}: merge candidates noted",
            f"{noted}",
            f"{ADDRESSES + 1 - keys}",
            noted == ADDRESSES + 1 - keys,
        ),
    ]
