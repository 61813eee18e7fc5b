"""Tells a service the events of a simulated day, and knows its customers by them.

Events are appended to the ledger as a server appends them. The states are folded in memory: nobody
else reads them, and a feature store would take most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from features.business.domain import Domain
from features.identity.keys import KeyNormalizer
from features.ingest.append_events import append_events
from features.journeys.events import Event, check_event, normalize_properties
from features.journeys.model_input import ModelInput
from features.journeys.state import State
from features.ledger.ledger import Ledger
from features.rewards.event_days import EventRules, mark_events
from features.store.feast_store import CustomerFeatures
from training.simulation.business import SimulatedBusiness, SimulatedEvent


class KnownCustomers:
    """Attributes and journey states of the customers of one world; implements `Features`."""

    def __init__(self, attributes: Mapping[str, Mapping[str, str]]) -> None:
        self._attributes = attributes
        self.states: dict[str, State] = {}

    def online(self, customer_id: str) -> CustomerFeatures | None:
        """Read a customer's features; None for a stranger."""
        attributes = self._attributes.get(customer_id)
        if attributes is None:
            return None
        return CustomerFeatures(attributes, self.states.get(customer_id))

    def of_each(self, customer_ids: Iterable[str]) -> dict[str, CustomerFeatures]:
        """Read the features of some customers; strangers are missing."""
        found = {name: self.online(name) for name in customer_ids}
        return {name: known for name, known in found.items() if known is not None}


class EventTeller:
    """Appends the events of a world to a ledger, and folds them.

    Parameters
    ----------
    begin : datetime
        Midnight before the first day.
    """

    def __init__(
        self,
        business: SimulatedBusiness,
        ledger: Ledger,
        domain: Domain,
        model_input: ModelInput,
        known: KnownCustomers,
        begin: datetime,
    ) -> None:
        self._business = business
        self._ledger, self._domain, self._fold = ledger, domain, model_input.fold
        self._known, self._begin = known, begin
        self._normalizer, self._rules = KeyNormalizer(domain), EventRules.of(domain)
        self._told = 0

    def tell(self, day: int, events: Sequence[SimulatedEvent]) -> None:
        """Append and fold events of a day, which follow those that were told before.

        Raises
        ------
        InvalidEvent
            If the domain file of the business does not describe an event.
        """
        made = sorted((self._event(day, one) for one in events), key=lambda one: one.order)
        if not made:
            return
        received_at, normalizer = made[-1].occurred_at, self._normalizer

        def append(connection: object) -> None:
            done = append_events(connection, normalizer, made, received_at)  # type: ignore[arg-type]
            mark_events(connection, self._rules, done.new_events)  # type: ignore[arg-type]

        self._ledger.write_now(append)
        for one in made:
            self._advance(one)

    def _event(self, day: int, event: SimulatedEvent) -> Event:
        at = self._begin + timedelta(days=day, minutes=event.minute)
        customer_id = self._business.customer_id(event.customer)
        described = self._domain.events.get(event.type)
        properties = normalize_properties(event.properties, described)
        self._told += 1
        name = f"e{self._told:09d}"
        made = Event(name, (customer_id,), event.type, at, event.channel, properties)
        check_event(made, self._domain)
        return made

    def _advance(self, event: Event) -> None:
        states, fold = self._known.states, self._fold
        state = states.get(event.subject)
        before = fold.empty() if state is None else state
        at_s = event.occurred_at.timestamp()
        states[event.subject] = fold.advance(
            before, event.type, event.channel, at_s, event.properties
        )
