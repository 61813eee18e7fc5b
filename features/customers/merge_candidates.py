"""Lists merge candidates: pairs of customers who may be one person, and wait for people."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa

from features.errors import IdentityUnknown, InvalidRequest, quoted
from features.identity.candidates import Reason
from features.ledger import tables
from features.ledger.statements import Statement

# An undecided candidate whose keys are of one customer by now is merged, and not open.
Status = Literal["open", "merged", "confirmed", "refused"]
COUNTED = 10_000  # each worker counts them every 5 s: 0.8 s for 200,000, 0.04 s for 10,000


class StoredCandidate(NamedTuple):
    """A candidate with its status and the present customers of its two keys."""

    left: str
    right: str
    via: str
    reason: Reason
    found_at: datetime
    status: Status
    decided_at: datetime | None
    decided_cause: str | None
    left_customer: str
    right_customer: str

    @property
    def cursor(self) -> str:
        """The position of the candidate in the list, the newest first."""
        return f"{tables.micros(self.found_at)} {self.left} {self.right}"


_FOUND = tables.merge_candidates.c
_LEFT, _RIGHT = tables.identities.alias("left_keys"), tables.identities.alias("right_keys")
_OWNERS = (
    sa.func.coalesce(_LEFT.c.customer_id, _FOUND.left),
    sa.func.coalesce(_RIGHT.c.customer_id, _FOUND.right),
)
_UNDECIDED = _FOUND.status == sa.literal_column("'open'")  # the words of the partial index
_IS_ONE = _OWNERS[0] == _OWNERS[1]
_JOINED = tables.merge_candidates.outerjoin(_LEFT, _LEFT.c.key == _FOUND.left).outerjoin(
    _RIGHT, _RIGHT.c.key == _FOUND.right
)
_CANDIDATES = sa.select(
    *(_FOUND.left, _FOUND.right, _FOUND.via, _FOUND.reason, _FOUND.found_at),
    sa.case((_UNDECIDED & _IS_ONE, "merged"), else_=_FOUND.status).label("status"),
    *(_FOUND.decided_at, _FOUND.decided_cause, *_OWNERS),
).select_from(_JOINED)
_OPEN_N = Statement(
    sa.select(sa.func.count()).select_from(
        sa.select(_FOUND.left)
        .select_from(_JOINED)
        .where(_UNDECIDED, sa.not_(_IS_ONE))
        .limit(sa.bindparam("at_most", type_=sa.Integer))
        .subquery()
    )
)


def list_candidates(
    connection: sa.Connection, status: Status, limit: int, after: str | None = None
) -> tuple[list[StoredCandidate], str | None]:
    """List the candidates of one status, the newest first.

    Returns
    -------
    list of StoredCandidate, str or None
        At most ``limit`` candidates, and ``after`` of the next page; None at the last one.

    Raises
    ------
    InvalidRequest
        If ``after`` is not what an earlier page gave.
    """
    query = _CANDIDATES.where(_of_status(status))
    if after is not None:
        query = query.where(_behind(after))
    order = (_FOUND.found_at.desc(), _FOUND.left, _FOUND.right)
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    found = [StoredCandidate._make(row) for row in rows[:limit]]
    return found, found[-1].cursor if len(rows) > limit else None


def count_open(connection: sa.Connection, at_most: int = COUNTED) -> int:
    """Count the candidates that wait for people, up to a number."""
    [(count,)] = _OPEN_N.rows(connection, {"at_most": at_most})
    return int(count)


def find_candidate(connection: sa.Connection, pair: tuple[str, str]) -> StoredCandidate:
    """Read the candidate of two keys.

    Raises
    ------
    IdentityUnknown
        If the two keys are no candidate.
    """
    left, right = sorted(pair)
    query = _CANDIDATES.where(_FOUND.left == left, _FOUND.right == right)
    for row in connection.execute(query):
        return StoredCandidate._make(row)
    raise IdentityUnknown(
        f"{quoted(left)} and {quoted(right)} are no merge candidate.",
        expected="left and right of one candidate",
        remedy="List the candidates with /v1/merge_candidates, and send both keys as listed.",
    )


def _of_status(status: Status) -> sa.ColumnElement[bool]:
    if status == "open":
        return sa.and_(_UNDECIDED, sa.not_(_IS_ONE))
    if status == "merged":
        return sa.and_(_UNDECIDED, _IS_ONE)
    return _FOUND.status == status


def _behind(after: str) -> sa.ColumnElement[bool]:
    """Make the condition for the candidates behind a cursor."""
    at, *keys = after.split(" ")
    at_us = tables.parse_micros(at)
    if at_us is None or len(keys) != 2:
        raise InvalidRequest(
            f"after is {quoted(after)}.",
            expected="what an earlier answer gave as 'next'",
            remedy="Send it exactly as it was answered, or leave it out for the newest.",
        )
    found_us: sa.ColumnElement[int] = sa.type_coerce(_FOUND.found_at, sa.BigInteger)
    further = sa.tuple_(_FOUND.left, _FOUND.right) > sa.tuple_(*map(sa.literal, keys))
    return (found_us < at_us) | ((found_us == at_us) & further)
