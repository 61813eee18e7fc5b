"""From identifiers to the one customer behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa

from features.ledger import identifiers as table

# No spaces and no control characters: PostgreSQL keeps no NUL, and nobody can see the others.
ID_PATTERN = r"^[^\s\x00-\x1f\x7f]+$"
ID_LENGTH = 200
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*:\S+")


def resolve(connection: sa.Connection, identifiers: Sequence[str]) -> str:
    """The customer whom these identifiers name.

    Parameters
    ----------
    identifiers : at least one, ``namespace:value``

    Returns
    -------
    str
        The customer of the first identifier we know; else the first identifier itself, under
        which a stranger is kept until we know more.
    """
    query = sa.select(table.c.identifier, table.c.customer_id).where(
        table.c.identifier.in_(identifiers)
    )
    known = {row.identifier: row.customer_id for row in connection.execute(query)}
    return next((known[name] for name in identifiers if name in known), identifiers[0])
