"""Checks over HTTP that customers who have left are not courted from the next decision on.

Each customer cancels, visits the shop, and orders again. After the first two, no decision may allow
a promotion or a retention that is not for leavers. Before and after, there
must be some, which shows that the check can fail.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from tests.bench.guarantees_home import (
    CHANNEL,
    PROMOTIONS,
    Business,
    catalog_of_shop,
    event,
    send,
    serving_shop,
)
from tests.bench.guarantees_report import Figure, most_of, none_of
from tests.conftest import SHOP
from tests.server import Server

RETENTION, WIN_BACK, SERVICE = "care_call", "win_back", "call_back"
COURTING = {*PROMOTIONS, RETENTION}
FULL, SMALL = 500, 10  # customers who leave
CANCELLED = {
    "description": "The contract was cancelled.",
    "journey": "leaving",
    "stage": "use",
    "step": "ends",
    "touchpoint": "internal",
    "signal": "direct",
}


class Seen(NamedTuple):
    """The actions that no rule removed from a decision, and the churn that it tells."""

    allowed: set[str]
    churn: float | None

    @property
    def courts(self) -> bool:
        """True if a promotion or a retention is allowed that is not for leavers."""
        return bool(self.allowed & COURTING)


def business() -> Business:
    """Make the shop with contracts, which customers cancel, and with an action for leavers."""
    domain = yaml.safe_load((SHOP / "domain.yaml").read_text(encoding="utf-8"))
    churn = {"event": "cancelled", "when": "happens", "back": "purchase"}
    catalog = catalog_of_shop()
    offer, help_ = catalog["actions"][PROMOTIONS[0]], catalog["actions"][SERVICE]
    actions = {
        **catalog["actions"],
        RETENTION: {**help_, "group": "keep"},
        WIN_BACK: {**offer, "for": "left"},
    }
    groups = {**catalog["groups"], "keep": {"kind": "retention"}}
    return Business(
        {**domain, "events": {"cancelled": CANCELLED}, "churn": churn},
        {**catalog, "groups": groups, "actions": actions},
    )


def run(customers: int = FULL) -> list[Figure]:
    """Let customers leave and come back at a server of two workers in a new home."""
    with serving_shop({"a_customer": None}, business=business(), NBA_WORKERS="2") as (server, _):
        return measure(server, customers)


def measure(server: Server, customers: int) -> list[Figure]:
    """Let customers leave and come back at a server of `business`, each worker in its turn."""
    pair = server.of_each_worker(2)
    stages: dict[str, list[Seen]] = {name: [] for name in ("at first", "left", "visits", "back")}
    for number in range(customers):
        writer, reader = pair[number % 2], pair[number // 2 % 2]
        name = f"leaver-{number}"
        send(writer, event(f"{name}-seen", name))
        stages["at first"].append(look(reader, name))
        send(writer, event(f"{name}-cancelled", name, "cancelled"))
        stages["left"].append(look(reader, name))
        send(writer, event(f"{name}-visits", name))
        stages["visits"].append(look(reader, name))
        send(writer, event(f"{name}-back", name, "purchase", properties={"amount_eur": 5.0}))
        stages["back"].append(look(reader, name))
    return [figure for name, seen in stages.items() for figure in _figures(name, seen)]


def look(server: Server, customer_id: str) -> Seen:
    """Ask for a decision with what it removed."""
    body = {"customer_id": customer_id, "channel": CHANNEL, "explain": True}
    status, answer = server.post("/v1/decide", body)
    assert status == 200, answer
    removed: list[dict[str, Any]] = answer["removed"]
    gone = {one["action_id"] for one in removed}
    return Seen((COURTING | {SERVICE, WIN_BACK}) - gone, answer["predictions"]["churn"])


def _figures(stage: str, seen: list[Seen]) -> list[Figure]:
    courting = sum(one.courts for one in seen)
    won = sum(WIN_BACK in one.allowed for one in seen)
    if stage in ("at first", "back"):
        return [
            most_of(f"decisions that court, {stage}", courting, len(seen)),
            none_of(f"decisions with an action for leavers, {stage}", won, len(seen)),
        ]
    unsure = sum(one.churn != 1.0 for one in seen)
    return [
        none_of(f"decisions that court a leaver ({stage})", courting, len(seen)),
        none_of(f"decisions with another churn than 1 ({stage})", unsure, len(seen)),
        most_of(f"decisions with the action for leavers ({stage})", won, len(seen)),
    ]
