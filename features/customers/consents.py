"""Reads the consents of a customer: the latest one for each purpose and channel.

A customer may have 100,000 events and three consents, so consents have an index of their own. It
is partial: events of other types are not in it and cost nothing. The types of consent are named by
the domain file, so the index is made when a ledger is opened with a domain.

Purposes and channels are compared without case and surrounding blanks (`spelled_alike`), also those
of events that were stored before this was so. Otherwise a "no" to "Marketing" would have no effect.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.business.event_types import EventType
from features.errors import InvalidEvent, quoted
from features.identity.relocation import is_relocating, is_under, sources_of
from features.identity.spelling import spelled_alike
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import Row, Statement
from features.nearest_names import did_you_mean

PURPOSE, CHANNEL = "purpose", "for_channel"  # properties of an event of consent
INDEX = "consents_"  # begins the name of the index; a hash of the types follows


def consents(
    connection: sa.Connection, customer_id: str, domain: Domain, before: datetime | None = None
) -> list[dict[str, Any]]:
    """Read the latest consent for each purpose and channel, in order of time.

    A ``channel`` of None means all channels. A later consent for all channels overrules an earlier
    one for one channel. Purposes and channels are as `spelled_alike` spells them.

    Parameters
    ----------
    before
        Only what the customer said before this time; None: all.
    """
    kinds = {name: event.consent for name, event in domain.events.items() if event.consent}
    if not kinds:
        return []
    latest: dict[tuple[str, str | None], dict[str, Any]] = {}
    found = sorted(_read(connection, customer_id, _types(domain)))
    if before is not None:
        found = [row for row in found if row[0] < tables.micros(before)]
    for at_us, _, kind, text in found:
        properties = from_json(text)
        purpose = spelled_alike(str(properties.get(PURPOSE, "")))
        # A blank channel of an earlier event names none.
        channel = spelled_alike(str(properties.get(CHANNEL) or "")) or None
        consent = {"given": kinds[kind] == "given", "since": tables.from_micros(at_us)}
        latest.pop((purpose, channel), None)  # or it would keep the position of an earlier one
        latest[purpose, channel] = {"purpose": purpose, "channel": channel, **consent}
    return list(latest.values())


def spell_consent(properties: Mapping[str, Any], event_type: EventType) -> dict[str, Any]:
    """Return the properties of an event of consent with purpose and channel in their one spelling.

    Where the domain lists the values of a property, the spelling is that of the list.
    """
    spelled = dict(properties)
    for name in (PURPOSE, CHANNEL):
        if isinstance(text := properties.get(name), str):
            known = event_type.properties.get(name)
            listed = {spelled_alike(value): value for value in known.values} if known else {}
            spelled[name] = listed.get(spelled_alike(text), spelled_alike(text))
    return spelled


def is_respelled(stored: str, sent: Mapping[str, Any]) -> bool:
    """Return whether stored properties are those sent, but for the spelling of a consent.

    Former versions stored a consent as it was sent; a repeated one is spelled as it is today.

    Parameters
    ----------
    stored
        JSON.
    """
    return _spelled_alike(from_json(stored)) == _spelled_alike(sent)


def _spelled_alike(properties: Mapping[str, Any]) -> str:
    texts = {name: properties.get(name) for name in (PURPOSE, CHANNEL)}
    alike = {name: spelled_alike(text) for name, text in texts.items() if isinstance(text, str)}
    return json.dumps({**properties, **alike}, sort_keys=True)  # so that 1 and true differ


def check_consent(
    properties: Mapping[str, Any], purposes: Collection[str], channels: Collection[str]
) -> None:
    """Refuse a consent that would have no effect.

    Parameters
    ----------
    properties
        Of the event, as `spell_consent` returns them.
    purposes
        Those of the catalogue.
    channels
        Those of the domain.

    Raises
    ------
    InvalidEvent
        If the catalogue does not have the purpose, or the domain does not have the channel.
    """
    purpose = properties.get(PURPOSE)
    if spelled_alike(str(purpose)) not in purposes:
        raise _without_effect(PURPOSE, purpose, purposes, "purpose of the catalogue")
    channel = properties.get(CHANNEL)
    if channel is not None and spelled_alike(str(channel)) not in channels:
        raise _without_effect(CHANNEL, channel, channels, "channel of the domain, or none for all")


def _without_effect(
    name: str, value: object, known: Collection[str], expected: str
) -> InvalidEvent:
    field, names = f"properties.{name}", ", ".join(sorted(known)) or "there is none"
    near = did_you_mean([spelled_alike(str(value))], known)
    remedy = near or "Correct it, or describe it in that file."
    return InvalidEvent(
        field,
        f"{field} is {quoted(value)}, so the consent would have no effect. "
        f"Expected a {expected}: {names}. {remedy}",
    )


def opt_out_sentence(catalog: Catalog) -> str:
    """Name the purposes that need no word of the customer; empty if there are none."""
    names = [name for name, one in catalog.purposes.items() if one.unless_said == "given"]
    if not names:
        return ""
    return (
        f"Opt-out: customers count as consenting to {', '.join(names)} until they withdraw. "
        "For opt-in, set 'unless_said: withdrawn' in the catalogue."
    )


def index_consents(ledger: Ledger, domain: Domain) -> None:
    """Make the index of the domain's types of consent, and drop that of other types.

    Making it reads all events once, about 1 s for each million; nobody can write meanwhile.
    """
    types = _types(domain)
    digest = hashlib.sha256(" ".join(types).encode()).hexdigest()
    needed = {INDEX + digest[:16]} if types else set()

    def change(connection: sa.Connection) -> None:
        there = _indexes(connection)
        for name in sorted(there - needed):
            connection.exec_driver_sql(f"DROP INDEX {name}")
        for name in sorted(needed - there):
            connection.exec_driver_sql(
                f"CREATE INDEX {name} ON events (customer_id, type, occurred_at, event_id) "
                f"WHERE type IN ({', '.join(_literals(types))})"
            )

    if ledger.read(_indexes) != needed:
        ledger.write_now(change)


def _indexes(connection: sa.Connection) -> set[str]:
    """Find the indexes that `index_consents` has made."""
    names = {str(one["name"]) for one in sa.inspect(connection).get_indexes(tables.events.name)}
    return {name for name in names if name.startswith(INDEX)}


def _types(domain: Domain) -> tuple[str, ...]:
    return tuple(sorted(name for name, event in domain.events.items() if event.consent))


def _read(connection: sa.Connection, customer_id: str, types: tuple[str, ...]) -> list[Row]:
    """Read time, id, type and properties of each consent, in any order."""
    if not is_relocating(connection, [customer_id]):
        return _consent_events(types).rows(connection, {"customer": customer_id})
    # Some events are still stored under another customer, and some are another customer's.
    found: list[Row] = []
    for source in (customer_id, *sources_of(connection, customer_id)):
        values = {"customer": source, "owner": customer_id}
        found += _consent_events(types, relocating=True).rows(connection, values)
    return found


@cache
def _consent_events(types: tuple[str, ...], relocating: bool = False) -> Statement:
    # The condition must have the literals of the index, and the order must be that of the index:
    # SQLite would rather read the table in its own order, and find few of many rows.
    columns = tables.events.c
    at, name, kind = columns.occurred_at, columns.event_id, columns.type
    query = sa.select(at, name, kind, columns.properties)
    is_consent = kind.in_([sa.literal_column(text) for text in _literals(types)])
    query = query.where(columns.customer_id == sa.bindparam("customer"), is_consent)
    if relocating:
        owner = sa.select(sa.bindparam("owner", type_=sa.Text))
        query = query.where(is_under(tables.events, owner))
    return Statement(query.order_by(kind, at, name))


def _literals(texts: Sequence[str]) -> list[str]:
    return ["'" + text.replace("'", "''") + "'" for text in texts]
