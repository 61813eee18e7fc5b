"""Makes journeys from short logs, for the tests of the analytics.

A log is a list of (customer, type, time in days, channel, properties), as in

    data = journeys_of(domain, [("c1", "ordered", 0.0), ("c1", "delivery", 2.5, "app")])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from features.analytics.cut.cut_journey import PastEvent
from features.analytics.cut.cutting import Cutter
from features.analytics.cut.journey_columns import JourneyColumns, nothing_known
from features.analytics.journey_data import JourneyData
from features.analytics.nodes import MapNodes
from features.business.domain import Domain
from features.business.journey_rules.promises import DAY_US

BEGIN_US = 1_700_000_000_000_000  # the time of day 0


def at_us(days: float) -> int:
    """Return the time of a day of a log, microseconds since 1970."""
    return BEGIN_US + round(days * DAY_US)


def pasts_of(domain: Domain, log: Iterable[Sequence[Any]]) -> dict[str, list[PastEvent]]:
    """Return the events of each customer, in the order of folding."""
    found: dict[str, list[PastEvent]] = {}
    for place, row in enumerate(log):
        customer_id, kind, days, *rest = row
        channel = rest[0] if rest and rest[0] else domain.channels[0]
        properties = rest[1] if len(rest) > 1 else {}
        event = PastEvent(f"e{place:06}", kind, channel, at_us(days), properties)
        found.setdefault(customer_id, []).append(event)
    order = {
        name: sorted(own, key=lambda one: (one.at_us, one.event_id)) for name, own in found.items()
    }
    return dict(sorted(order.items()))


def journeys_of(
    domain: Domain,
    log: Iterable[Sequence[Any]],
    as_of_days: float = 1000.0,
    shown: Mapping[str, Sequence[tuple[float, str]]] | None = None,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    personas: Mapping[str, str] | None = None,
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
    """
    nodes = MapNodes(domain)
    cutter, columns = Cutter(domain, nodes), JourneyColumns(domain, nodes)
    pasts, decided = pasts_of(domain, log), shown or {}
    for customer_id in sorted({*pasts, *decided}):
        events = [one for one in pasts.get(customer_id, []) if one.at_us <= at_us(as_of_days)]
        decisions = sorted((at_us(days), where) for days, where in decided.get(customer_id, ()))
        known = (attributes or {}).get(customer_id, {})
        persona = (personas or {}).get(customer_id, nothing_known(0)[1])
        cut = cutter.cut(events, decisions, at_us(as_of_days))
        columns.add(customer_id, None, cut, lambda _, it=(known, persona): it)  # type: ignore[misc]
    return JourneyData.of_tables(domain, *columns.tables(), at_us(as_of_days), version=1)
