"""Customers and accounts that are set aside, because an event of theirs cannot be folded.

Nobody waits for their features; the features of before go on being served. They are folded again
when the server starts and at `nba build`.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from features.ledger import tables

NAMED = 3  # customers in a sentence
SET_ASIDE = "set aside, with features of before."
_COLUMNS = tables.journey_states.c
# They have no state that could be online, so the index of the states that wait finds them.
_ASIDE = sa.and_(tables.unpublished, _COLUMNS.problem.is_not(None))


def set_aside(connection: sa.Connection, key: str, problem: str) -> None:
    """Note that the past of a customer cannot be folded, so that nobody waits for their state."""
    mine = _COLUMNS.customer_id == key
    connection.execute(sa.update(tables.journey_states).where(mine).values(problem=problem))


def try_again(connection: sa.Connection) -> None:
    """Fold the customers that are set aside once more, after the program or a file changed."""
    connection.execute(sa.update(tables.journey_states).where(_ASIDE).values(problem=None))


def read_set_aside(connection: sa.Connection) -> tuple[int, list[tuple[str, str]]]:
    """Count the customers that are set aside, and read some of them with their problems."""
    counted = sa.select(sa.func.count()).select_from(tables.journey_states).where(_ASIDE)
    count = connection.execute(counted).scalar_one()
    query = sa.select(_COLUMNS.customer_id, _COLUMNS.problem).where(_ASIDE)
    rows = connection.execute(query.order_by(_COLUMNS.customer_id).limit(NAMED))
    return count, [(row.customer_id, row.problem) for row in rows]


def set_aside_sentence(count: int, some: Sequence[tuple[str, str]]) -> str:
    """Say in a sentence which customers are set aside; empty if there are none."""
    if not count:
        return ""
    named = " ".join(f"{key!r}: {problem}" for key, problem in some)
    who = "1 customer is" if count == 1 else f"{count:,} customers are"
    return f"features: {who} {SET_ASIDE} {named}"


def without_customers(problem: str) -> str:
    """Cut the names of customers off a sentence of `set_aside_sentence`, for a log."""
    first, aside, _ = problem.partition(SET_ASIDE)
    return f"{first}{aside}{' /readyz names them.' if aside else ''}"
