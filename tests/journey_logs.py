"""Makes journeys from short logs, for the tests of the analytics.

A log is a list of (customer, type, time in days, channel, properties), as in

    data = journeys_of(domain, [("c1", "ordered", 0.0), ("c1", "delivery", 2.5, "app")])
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.cut.customer_facts import CustomerFacts
from features.analytics.cut.cutting import PastEvent
from features.analytics.journey_data import JourneyData
from features.business.domain import Domain
from features.business.journey_rules.goals import OTHERS
from features.business.journey_rules.promises import DAY_US
from features.customers.attribute_history import EVER, AttributeVersion

BEGIN_US = 1_700_000_000_000_000  # the time of day 0


def at_us(days: float) -> int:
    """Return the time of a day of a log, microseconds since 1970."""
    return BEGIN_US + round(days * DAY_US)


def pasts_of(domain: Domain, log: Iterable[Sequence[Any]]) -> dict[str, list[PastEvent]]:
    """Return the events of each customer, in the order of folding."""
    found: dict[str, list[PastEvent]] = {}
    for customer_id, kind, days, *rest in log:
        channel = rest[0] if rest and rest[0] else domain.channels[0]
        properties = json.dumps(rest[1] if len(rest) > 1 else {})
        event = (customer_id, kind, channel, at_us(days), properties)
        found.setdefault(customer_id, []).append(event)
    # At one time, in the order of the log.
    return {name: sorted(own, key=lambda one: one[3]) for name, own in sorted(found.items())}


def journeys_of(
    domain: Domain,
    log: Iterable[Sequence[Any]],
    as_of_days: float = 1000.0,
    shown: Mapping[str, Sequence[tuple[float, str]]] | None = None,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    personas: Mapping[str, str] | None = None,
    facts: Mapping[str, CustomerFacts] | None = None,
    cutter: CustomerCutter | None = None,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> JourneyData:
    """Cut a log, and open its journeys for queries.

    Parameters
    ----------
    as_of_days
        Events after it are left out.
    shown
        By customer, the days and channels of decisions that were shown.
    attributes, personas
        By customer; they hold from ever.
    facts
        By customer, instead of ``attributes``.
    cutter, connection
        Used instead of new ones, which takes less time. A second log of a connection replaces the
        first.
    """
    events = [one for own in pasts_of(domain, log).values() for one in own]
    decided = {
        customer_id: sorted((at_us(days), where) for days, where in own)
        for customer_id, own in (shown or {}).items()
    }
    told = facts or {
        customer_id: CustomerFacts(None, [AttributeVersion(EVER, dict(known))])
        for customer_id, known in (attributes or {}).items()
    }
    past, until_us = CustomerPasts(events, decided, told), at_us(as_of_days)
    journeys, steps = (cutter or CustomerCutter(domain)).tables(past, until_us)
    if personas is not None:
        names = [personas.get(one, OTHERS) for one in journeys["customer_id"].to_pylist()]
        place = journeys.schema.get_field_index("persona")
        column = pa.array(names, pa.string()).dictionary_encode()
        journeys = journeys.set_column(place, journeys.schema.field(place), column)
    if connection is None:
        return JourneyData.of_tables(domain, journeys, steps, until_us, version=1)
    connection.register("journeys", journeys)
    connection.register("steps", steps)
    return JourneyData(domain, connection, until_us, version=1)
