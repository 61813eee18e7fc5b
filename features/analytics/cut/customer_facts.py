"""The facts about customers that their journeys carry: account, attributes, persona.

Attributes and persona are those as of the start of a journey. Few customers have several versions
of their attributes, and many have the same, so each combination is kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from features.analytics.cut.personas import Personas
from features.analytics.tables import ATTRIBUTE
from features.business.domain import Domain
from features.customers.attribute_history import (
    EVER,
    AttributeVersion,
    attribute_versions,
    attributes_at,
)
from features.ledger import tables
from features.ledger.statements import Statement, as_json, texts_of

_MEMBER = tables.account_members.c
_ACCOUNTS = Statement(
    sa.select(_MEMBER.customer_id, _MEMBER.account).where(
        _MEMBER.customer_id.in_(sa.select(texts_of("keys").c.value))
    )
)


class CustomerFacts(NamedTuple):
    """The account of a customer, and the versions of the attributes in the order of time."""

    account: str | None = None
    versions: Sequence[AttributeVersion] = (AttributeVersion(EVER, {}),)


def facts_of(connection: sa.Connection, customer_ids: Iterable[str]) -> dict[str, CustomerFacts]:
    """Read the facts about some customers."""
    versions = attribute_versions(connection, customer_ids)
    accounts: dict[str, str] = dict(_ACCOUNTS.rows(connection, {"keys": as_json(versions)}))
    return {name: CustomerFacts(accounts.get(name), own) for name, own in versions.items()}


class Profiles:
    """Numbers each combination of attributes and persona that journeys begin with."""

    def __init__(self, domain: Domain) -> None:
        self._personas = Personas(domain)
        self._attributes = tuple(domain.attributes)
        self._numbers: dict[tuple[str | None, ...], int] = {}

    @property
    def read_events(self) -> bool:
        """True if a persona follows from events, too."""
        return self._personas.read_events

    def clear(self) -> None:
        """Begin anew with the numbers; those of some customers suffice for their columns."""
        self._numbers.clear()

    def numbers_at(
        self,
        versions: Sequence[AttributeVersion],
        starts_us: Sequence[int],
        events: Iterable[tuple[str, str, str, int, str]],
    ) -> Iterator[int]:
        """Yield the number of what holds of a customer at each of some times, which rise.

        Parameters
        ----------
        events
            Those of the customer, in the order of folding; read if `read_events`.
        """
        if not self.read_events and len(versions) == 1:
            number = self._number(versions[0].attributes, None)
            yield from (number for _ in starts_us)
            return
        features = self._personas.features_at(events, starts_us)
        for at_us, known in zip(starts_us, features, strict=True):
            yield self._number(attributes_at(versions, at_us), known)

    def columns(self) -> dict[str, list[str | None]]:
        """Return the attributes and the persona of each number, by the name of their column."""
        names = (*(f"{ATTRIBUTE}{name}" for name in self._attributes), "persona")
        rows = [*self._numbers]
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    def _number(self, attributes: Mapping[str, str], features: Sequence[float] | None) -> int:
        persona = self._personas.persona(attributes, features)
        key = (*(attributes.get(name) for name in self._attributes), persona)
        return self._numbers.setdefault(key, len(self._numbers))
