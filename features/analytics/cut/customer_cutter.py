"""Cuts the journeys of many customers at once, with the facts that they carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import pyarrow as pa

from features.analytics.cut.customer_facts import CustomerFacts, Profiles
from features.analytics.cut.cutting import Cutter, PastEvent, Shown
from features.analytics.cut.journey_columns import JourneyColumns
from features.analytics.cut.journey_log import JourneyLog
from features.analytics.nodes import MapNodes
from features.business.domain import Domain

NOTHING_KNOWN = CustomerFacts()


class CustomerPasts(NamedTuple):
    """Events and shown actions of some customers, and facts about them.

    Attributes
    ----------
    events
        Sorted by customer, then in the order of folding.
    shown
        By customer, in the order of time; also of customers without events.
    facts
        By customer; nothing is known of those who are missing.
    """

    events: Sequence[PastEvent]
    shown: Mapping[str, Sequence[Shown]]
    facts: Mapping[str, CustomerFacts]

    @property
    def customers(self) -> list[str]:
        """All customers of the events and the shown actions."""
        return list(dict.fromkeys([row[0] for row in self.events]) | dict.fromkeys(self.shown))


class CustomerCutter:
    """Cuts the pasts of customers of one business; made once, as it compiles the domain file."""

    def __init__(self, domain: Domain) -> None:
        nodes = MapNodes(domain)
        self._cutter, self._profiles = Cutter(domain, nodes), Profiles(domain)
        self._columns = JourneyColumns(domain, nodes, self._cutter.labels, self._profiles)

    def tables(self, past: CustomerPasts, as_of_us: int) -> tuple[pa.Table, pa.Table]:
        """Cut some customers, and return their journeys and steps; see `tables`.

        Parameters
        ----------
        as_of_us
            What happened later is left out.
        """
        log = JourneyLog()
        self._profiles.clear()
        for customer_id, events in _by_customer(past.events, past.shown):
            facts = past.facts.get(customer_id, NOTHING_KNOWN)
            log.begin_customer(customer_id, facts.account)
            begin = len(log.map)
            self._cutter.cut(log, events, past.shown.get(customer_id, ()), as_of_us)
            starts = log.start_us[begin:]
            log.profile.extend(self._profiles.numbers_at(facts.versions, starts, events))
        return self._columns.tables(log)


def _by_customer(
    events: Iterable[PastEvent], shown: Mapping[str, Sequence[Shown]]
) -> Iterator[tuple[str, Sequence[PastEvent]]]:
    """Yield each customer, also those with shown actions only, in the order of their names."""
    waiting = sorted(shown, reverse=True)
    for customer_id, own in groupby(events, key=itemgetter(0)):
        while waiting and waiting[-1] < customer_id:
            yield waiting.pop(), ()
        if waiting and waiting[-1] == customer_id:
            waiting.pop()
        yield customer_id, list(own)
    yield from ((one, ()) for one in reversed(waiting))
