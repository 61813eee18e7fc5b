"""Takes attributes of customers while the service runs: checks, writes and publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.business.domain import Domain
from features.customers.attribute_writer import SentAttributes, write_attributes
from features.customers.profiles import attributes_of
from features.errors import InvalidData, quoted
from features.identity.keys import KeyNormalizer
from features.identity.tombstones import find_customer
from features.journeys.events import MAX_CLOCK_SKEW, MAX_NUMBER, is_finite_number
from features.ledger.ledger import Ledger
from features.states.journey_states import JourneyStates
from features.states.state_rows import republish_attributes
from features.states.visibility import StatePublisher

Value = str | float | None


class ChangedAttributes(NamedTuple):
    """The result of sending attributes of a customer.

    Attributes
    ----------
    customer_id : str
        The customer behind the key that was sent.
    new : bool
        Whether the key had no attributes before.
    changed : list of str
        The attributes whose value at any time is another one than before.
    attributes : dict
        All attributes of the customer at present, as decisions read them.
    """

    customer_id: str
    new: bool
    changed: list[str]
    attributes: dict[str, str]


class LiveAttributes:
    """Writes attributes to the ledger, and publishes them to the online store."""

    def __init__(
        self, ledger: Ledger, publisher: StatePublisher, domain: Domain, states: JourneyStates
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._domain = domain
        self._normalizer = KeyNormalizer(domain)
        self._states = states

    async def change(
        self,
        customer_id: str,
        values: Mapping[str, Value],
        as_of: datetime | None,
        now: datetime,
    ) -> ChangedAttributes:
        """Change attributes; when this returns, the next decision on any worker reads them.

        They are stored under the key that was sent, also if it is merged with others; those of a
        device, under its present holder. An unknown customer is added.

        Parameters
        ----------
        as_of
            The time from which the values hold; see `attribute_writer` for values without it.

        Raises
        ------
        InvalidData
            If an attribute breaks a rule of the domain, or ``as_of`` has not come.
        CustomerForgotten
            If the customer was erased.
        NotVisible
            If the feature store is down. The attributes are in the ledger; the same call may be
            repeated.
        """
        key = self._normalizer.customer(customer_id)
        texts = {name: _as_text(name, value, self._domain) for name, value in values.items()}
        if as_of is not None and as_of > now + MAX_CLOCK_SKEW:
            raise _invalid("as_of", as_of.isoformat(), "a time that has passed")
        result = await self._ledger.write(lambda c: self._write(c, key, texts, as_of, now))
        await self._publisher.show([result.customer_id], now)
        return result

    def _write(
        self,
        connection: sa.Connection,
        key: str,
        values: Mapping[str, str | None],
        as_of: datetime | None,
        now: datetime,
    ) -> ChangedAttributes:
        customer_id, node = find_customer(connection, [key])
        stored = key if node == key else customer_id
        sent = SentAttributes(stored, values, as_of)
        written = write_attributes(connection, [sent], now, self._domain.account)
        if written.changed:
            without_state = republish_attributes(connection, [customer_id], now)
            self._states.restate(connection, without_state, now)
        return ChangedAttributes(
            customer_id,
            stored in written.new,
            written.changed.get(stored, []),
            attributes_of(connection, customer_id),
        )


def _as_text(name: str, value: Value, domain: Domain) -> str | None:
    """Check the value of an attribute, and convert it to the text that is stored.

    Raises
    ------
    InvalidData
        Names the attribute, its value and the remedy.
    """
    field, known = f"attributes.{name}", domain.attributes.get(name)
    if name == domain.account:
        raise _invalid(
            field, value, "attributes only; the account is loaded by 'nba load' with the customers"
        )
    if known is None:
        raise _invalid(field, value, f"attributes among {', '.join(domain.attributes) or 'none'}")
    if value is None:
        return None
    if known.type == "category":
        if value not in known.values:
            raise _invalid(field, value, f"one of {', '.join(known.values)}, or null")
        return str(value)
    if not is_finite_number(value) or abs(float(value)) > MAX_NUMBER:
        expected = f"a number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}, or null"
        raise _invalid(field, value, expected)
    return str(float(value))


def _invalid(field: str, value: object, expected: str) -> InvalidData:
    return InvalidData(
        f"{field} is {quoted(value)}.", expected=expected, remedy="Correct it and send it again."
    )
