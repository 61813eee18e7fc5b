"""A business that promises deliveries, and random logs of it, for the tests of promises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from features.analytics.journey_data import JourneyData
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.lists import Number
from features.business.domain import Domain
from features.business.journey_rules.promises import DAY_US
from tests.features.analytics.views.small_shop import event
from tests.journey_logs import at_us, journeys_of
from tests.promise_oracle import Judged, OracleEvent, OracleJourney, OracleStep, cut, judge

Log = list[tuple[str, str, float, str, dict[str, Any]]]
LAPSE_DAYS = 6
WAY = ["ordered", "late?", "delivered"]
ON_TIME = {
    "after": "ordered",
    "comes": "delivered",
    "within": {"property": "promised_at"},
    "else_days": 1,
}
FIRST = {
    "on_time": ON_TIME,
    "told": {"before": "delivered", "comes": "shipped", "at_least_hours": 12},
    "once": {"never": "call", "after": "call", "within_days": 2},
}
SECOND = {
    "on_time": {"after": "ordered", "comes": "delivered", "within_days": 2},
    "quiet": {"never": "late"},
    "few": {"no_more_than": 1, "of": "call", "within_days": 3},
    "at_once": {"after": "ordered", "next": "shipped", "within_hours": 12},
}
VERSIONS = [
    {"version": 1, "way": WAY, "promises": FIRST},
    # Day 0 of a log is 2023-11-14T22:13:20Z: from hour 26 on, the second version is in force.
    {"version": 2, "since": "2023-11-16", "way": ["ordered", "shipped"], "promises": SECOND},
]


def promised_shop(expected: Any = VERSIONS) -> Domain:
    """Return a domain: ``delivery`` with a case, two versions of promises, a lapse, and leaving."""
    number = {"order": {"type": "text", "remembered": False}}
    told = {"promised_at": {"type": "text", "remembered": False}}
    news = {"news": {"type": "category", "values": ["shipped", "late"]}}
    content = {
        "name": "promised",
        "currency": "eur",
        "channels": ["app"],
        "half_lives_days": [7],
        "events": {
            "ordered": event("delivery", "action", "starts", properties=number | told),
            "message": event("delivery", "use", properties=number | news),
            "call": event("delivery", "use", properties=number),
            "delivered": event("delivery", "use", "ends", properties=number),
            "gone": event("leaving", "use", "ends"),
        },
        "journeys": {
            "delivery": {
                "case": "order",
                "lapse_days": LAPSE_DAYS,
                "map": {"node": "news"},
                "expected": expected,
            }
        },
        "churn": {"event": "gone", "when": "happens"},
    }
    return Domain.model_validate(content)


SHOP = promised_shop()
KINDS = ("ordered", "message", "call", "delivered", "gone")
# Before, at and after events and due times of a log.
MOMENTS = (0.0, 0.25, 0.5, 0.52, 1.0, 1.5, 2.0, 3.0, 3.1, 6.0, 9.0, 15.0, 40.0)


def random_log(rng: np.random.Generator, customers: int) -> Log:
    """Draw up to eight events of each customer; several are often at one instant."""
    log: Log = []
    for customer in range(customers):
        hours = 0.0
        for _ in range(int(rng.integers(1, 9))):
            hours += float(rng.choice([0, 0, 6, 12, 24, 72, 150]))
            kind = str(rng.choice(KINDS, p=[0.3, 0.3, 0.15, 0.2, 0.05]))
            properties = _properties(rng, kind, hours)
            log.append((f"c{customer:03}", kind, hours / 24, "app", properties))
    return log


def _properties(rng: np.random.Generator, kind: str, hours: float) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if kind != "gone" and rng.random() < 0.6:
        properties["order"] = str(rng.choice(["A", "B"]))
    if kind == "ordered" and rng.random() < 0.5:
        seconds = at_us(hours / 24) / 1e6 + int(rng.choice([-3600, 0, 43200, 259200]))
        told = [datetime.fromtimestamp(seconds, UTC).isoformat(), "soon", "2023-11-16T00:00"]
        properties["promised_at"] = str(rng.choice(told, p=[0.8, 0.1, 0.1]))  # the others tell none
    if kind == "message":
        properties["news"] = str(rng.choice(["shipped", "late"]))
    return properties


def opened(log: Log, as_of_days: float) -> JourneyData:
    """Open the journeys of a log."""
    return journeys_of(SHOP, log, as_of_days)


def cut_by_hand(log: Log, as_of_days: float) -> list[tuple[str, OracleJourney]]:
    """Return the deliveries of a log by the definitions, each with its customer."""
    found = []
    for customer_id in sorted({row[0] for row in log}):
        events = [_told(row) for row in log if row[0] == customer_id]
        lapses = {"delivery": LAPSE_DAYS * DAY_US, "leaving": None}
        found += [
            (customer_id, one)
            for one in cut(events, lapses, at_us(as_of_days))
            if one.kind == "delivery"
        ]
    return found


def _told(row: Sequence[Any]) -> OracleEvent:
    _, kind, days, _, properties = row
    return OracleEvent(
        at_us=at_us(days),
        kind="leaving" if kind == "gone" else "delivery",
        step={"ordered": "starts", "delivered": "ends", "gone": "ends"}.get(kind, "moves"),  # type: ignore[arg-type]
        names=frozenset((kind, properties.get("news", kind))),
        case=properties.get("order"),
        leaves=kind == "gone",
        properties=properties,
    )


def judged_by_hand(log: Log, as_of_days: float) -> list[tuple[str, str, int, Judged]]:
    """Judge all promises of a log: customer, promise, version, and the activation."""
    found = []
    for customer_id, journey in cut_by_hand(log, as_of_days):
        steps: list[OracleStep] = journey.steps
        expected = SHOP.journey_kinds["delivery"].expected_at(steps[0].at_us)
        assert expected is not None
        for name, promise in expected.promises.items():
            for one in judge(promise, steps, journey.close_us, at_us(as_of_days)):
                found.append((customer_id, name, expected.version, one))
    return found


def agrees(data: JourneyData, number: Number) -> bool:
    """Tell whether a number is as long as its list."""
    return number.n == list_count(data, number.rows) == len(list_rows(data, number.rows, 1000))
