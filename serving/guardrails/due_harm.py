"""Finds the harm behind the marks that are due.

A silence that counts as leaving is harm at its end. It belongs to the newest decision before it
began, or up to the length of a session after its last event, which began that visit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.identity.links import keys_of, resolve_each
from features.ledger import tables
from features.ledger.statements import among
from features.outcomes.harm_marks import EVENT, SILENCE
from serving.guardrails.guardrail_rules import GuardrailRule, GuardrailRules

_EVENTS = tables.events.c


class Harm(NamedTuple):
    """Harm to a customer.

    Attributes
    ----------
    keys : sequence of str
        All keys of the customer; the first one is the customer id.
    at : datetime
        When it happened.
    before : datetime
        Decisions before this time may be those that it belongs to.
    """

    keys: Sequence[str]
    at: datetime
    before: datetime


def harm_of(
    connection: sa.Connection, mark: Any, rules: GuardrailRules, now: datetime
) -> Iterator[tuple[GuardrailRule, Harm]]:
    """Find the harm behind a mark, for each guardrail that counts it."""
    if mark.kind == EVENT:
        read = (_EVENTS.subject, _EVENTS.type, _EVENTS.occurred_at, _EVENTS.properties)
        event = connection.execute(sa.select(*read).where(_EVENTS.event_id == mark.key)).first()
        if event is None:  # its customer was forgotten
            return
        keys, at = _keys(connection, event.subject), event.occurred_at
        properties = from_json(event.properties)
        for rule in rules.rules:
            if rule.is_harm(event.type, properties):
                yield rule, Harm(keys, at, at)
        return
    silences = [rule for rule in rules.rules if rule.silent]
    if not silences:
        return
    keys = _keys(connection, mark.key)
    last = _last_event(connection, keys, silences[0])
    if last is None or last + silences[0].silent > now:  # it is marked again when this is written
        return
    for rule in silences:
        yield rule, Harm(keys, last + rule.silent, last + rules.session)


def mark_again(
    connection: sa.Connection, mark: Any, rules: GuardrailRules, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield a mark for a customer of whom an event came since the mark was made.

    It is looked for in the transaction that deletes the mark, as an event that came after the
    snapshot of the step has found the mark, and made no other one.
    """
    for rule in [rule for rule in rules.rules if rule.silent][:1]:
        keys = _keys(connection, mark.key)
        last = _last_event(connection, keys, rule)
        if last is not None and last + rule.silent > now:
            due_at = last + rule.silent
            yield {"kind": SILENCE, "key": keys[0], "customer_id": keys[0], "due_at": due_at}


def _last_event(
    connection: sa.Connection, keys: Sequence[str], rule: GuardrailRule
) -> datetime | None:
    mine = among(_EVENTS.customer_id, keys) & (_EVENTS.type == rule.event)
    found: datetime | None = connection.execute(
        sa.select(sa.func.max(_EVENTS.occurred_at)).where(mine)
    ).scalar()
    return found


def _keys(connection: sa.Connection, key: str) -> list[str]:
    """All keys of the customer of a key; during a merge, rows may be stored under each of them."""
    customer_id = resolve_each(connection, [key]).get(key, key)
    return list(dict.fromkeys([customer_id, *keys_of(connection, customer_id)]))
