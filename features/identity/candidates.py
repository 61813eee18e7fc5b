"""Keeps pairs of customers who may be one person, for people to decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa

from features.identity.links import resolve_each
from features.ledger import tables

Reason = Literal["device", "personal", "size"]


class MergeCandidate(NamedTuple):
    """Two keys of customers who may be one person, because both used the identifier ``via``."""

    left: str
    right: str
    via: str
    reason: Reason

    @classmethod
    def of(cls, one: str, other: str, via: str, reason: Reason) -> MergeCandidate:
        """Make the candidate of two keys in either order."""
        return cls(min(one, other), max(one, other), via, reason)


def note_candidates(
    connection: sa.Connection, found: Iterable[MergeCandidate], at: datetime
) -> None:
    """Add candidates that are new and not one customer; decided ones stay as they are."""
    found = [*dict.fromkeys(found)]
    if not found:
        return
    customer_of = resolve_each(connection, {key for one in found for key in one[:2]})
    rows = [
        one._asdict() | {"found_at": at, "status": "open"}
        for one in found
        if customer_of.get(one.left, one.left) != customer_of.get(one.right, one.right)
    ]
    tables.insert_new(connection, tables.merge_candidates, rows)
