"""Reads the consents of a customer: the latest one for each purpose and channel."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.ledger import tables
from features.ledger.statements import Statement, list_parameters, list_values


def consents(connection: sa.Connection, customer_id: str, domain: Domain) -> list[dict[str, Any]]:
    """Read the latest consent for each purpose and channel, in order of time.

    A ``channel`` of None means all channels. A later consent for all channels overrules an earlier
    one for one channel.
    """
    kinds = {name: event.consent for name, event in domain.events.items() if event.consent}
    if not kinds:
        return []
    values = {"customer": customer_id} | list_values("kind", kinds)
    latest: dict[tuple[str, str | None], dict[str, Any]] = {}
    for kind, at_us, text in _consent_events(len(kinds)).rows(connection, values):
        properties = from_json(text)
        purpose, channel = properties.get("purpose", ""), properties.get("for_channel")
        consent = {"given": kinds[kind] == "given", "since": tables.from_micros(at_us)}
        latest.pop((purpose, channel), None)  # or it would keep the position of an earlier one
        latest[purpose, channel] = {"purpose": purpose, "channel": channel, **consent}
    return list(latest.values())


@cache
def _consent_events(kinds: int) -> Statement:
    columns = tables.events.c
    is_consent = columns.type.in_(list_parameters("kind", kinds))
    query = sa.select(columns.type, columns.occurred_at, columns.properties)
    query = query.where(columns.customer_id == sa.bindparam("customer"), is_consent)
    return Statement(query.order_by(columns.occurred_at, columns.event_id))
