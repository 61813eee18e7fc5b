"""Keeps pairs of customers who may be one person, for people to decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa

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


Candidate = MergeCandidate


def note_candidates(
    connection: sa.Connection, found: Iterable[MergeCandidate], at: datetime
) -> None:
    """Add candidates that are new; those that people have decided stay as they are."""
    rows = [one._asdict() | {"found_at": at, "status": "open"} for one in dict.fromkeys(found)]
    tables.insert_new(connection, tables.merge_candidates, rows)
