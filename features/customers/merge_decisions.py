"""Stores what people have decided of merge candidates."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from features.customers.merge_candidates import StoredCandidate, find_candidate
from features.errors import AlreadyDecided
from features.identity.keys import KeyNormalizer
from features.ledger import tables

Verdict = Literal["confirmed", "refused"]
_FOUND = tables.merge_candidates.c


def decide_candidate(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    pair: tuple[str, str],
    verdict: Verdict,
    cause: str,
    at: datetime,
) -> None:
    """Store what people have decided of a candidate; the same verdict again changes nothing.

    A refusal is also stored as a link that was undone: events never make such a link again.

    Raises
    ------
    IdentityUnknown
        If the two keys are no candidate.
    AlreadyDecided
        If people have decided otherwise, or if the two that are refused are one customer by now.
    """
    known = find_candidate(connection, pair)
    if known.status == verdict:
        return
    if known.status != "open" and (known.status, verdict) != ("merged", "confirmed"):
        raise _decided_otherwise(known, verdict)
    mine = sa.update(tables.merge_candidates).where(
        _FOUND.left == known.left, _FOUND.right == known.right
    )
    connection.execute(mine.values(status=verdict, decided_at=at, decided_cause=cause))
    if verdict == "refused":
        _store_undone_link(connection, normalizer, known, cause, at)


def _store_undone_link(
    connection: sa.Connection,
    normalizer: KeyNormalizer,
    refused: StoredCandidate,
    cause: str,
    at: datetime,
) -> None:
    row: dict[str, Any] = {"left": refused.left, "right": refused.right, "linked_at": at}
    row |= {"cause": "merge candidate", "undone_at": at, "undone_cause": cause}
    tables.insert_new(connection, tables.links, [row])
    for key in (refused.left, refused.right):  # `bulk_links` looks at links of known keys only
        node = {"key": key, "customer_id": key, "rank": normalizer.rank(key)}
        tables.insert_new(connection, tables.identities, [node])


def _decided_otherwise(known: StoredCandidate, verdict: Verdict) -> AlreadyDecided:
    both = f"{known.left!r} and {known.right!r}"
    if known.status == "merged":
        return AlreadyDecided(
            f"{both} cannot be refused: they are one customer, {known.left_customer!r}, already.",
            expected="a candidate of two customers",
            remedy="Read the links of the customer with /v1/customer, and undo the wrong one "
            "with /v1/unlink.",
        )
    route = "/v1/unlink" if known.status == "confirmed" else "/v1/link"
    return AlreadyDecided(
        f"{both} were {known.status} at {known.decided_at:%Y-%m-%dT%H:%M:%SZ}, "
        f"and cannot be {verdict}.",
        expected="the same decision again, or an open candidate",
        remedy=f"To change what was decided, send both keys to {route}.",
    )
