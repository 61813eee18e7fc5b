"""The last word of a customer on each purpose of consent."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.domain import Domain
from features.ledger import tables
from features.ledger.statements import Statement, list_parameters, list_values


def consents(connection: sa.Connection, customer_id: str, domain: Domain) -> list[dict[str, Any]]:
    """The last word on each purpose, on a channel or on all (``channel`` null), in the order in
    which they were said: a later one on all overrules an earlier one on a channel."""
    kinds = {name: event.consent for name, event in domain.events.items() if event.consent}
    if not kinds:
        return []
    asked = {"customer": customer_id} | list_values("kind", kinds)
    said: dict[tuple[str, str | None], dict[str, Any]] = {}
    for kind, at_us, sent in _consents(len(kinds)).rows(connection, asked):
        properties = from_json(sent)
        purpose, channel = properties.get("purpose", ""), properties.get("for_channel")
        told = {"given": kinds[kind] == "given", "since": tables.from_micros(at_us)}
        said.pop((purpose, channel), None)  # or it would keep the place of an earlier word
        said[purpose, channel] = {"purpose": purpose, "channel": channel, **told}
    return list(said.values())


@cache
def _consents(kinds: int) -> Statement:
    columns = tables.events.c
    said = columns.type.in_(list_parameters("kind", kinds))
    query = sa.select(columns.type, columns.occurred_at, columns.properties)
    query = query.where(columns.customer_id == sa.bindparam("customer"), said)
    return Statement(query.order_by(columns.occurred_at, columns.event_id))
