"""The access log: each use of the scopes `privacy` and `admin`, kept in the ledger.

It names the key and the route, and not the customer: a log that names erased customers would keep
what the erasure removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables

COMMAND_LINE = "nba"  # the client of a use by a command
NO_KEY = "no key"  # the name of a key where none is asked for


class Access(NamedTuple):
    """One use.

    Attributes
    ----------
    key_id, key_name
        The key that was sent; the id is None without one.
    client
        The address of the caller; `COMMAND_LINE` for a command.
    request
        Method and path, or the command.
    status
        The HTTP status of the answer; None if there was none, such as after a crash.
    """

    at: datetime
    key_id: str | None
    key_name: str
    client: str
    request: str
    status: int | None = None


def append_access(connection: sa.Connection, access: Access) -> int:
    """Append a use before it happens; returns the number of its row."""
    statement = sa.insert(tables.access_log).values(access._asdict())
    done = connection.execute(statement.returning(tables.access_log.c.serial))
    return int(done.scalar_one())


def set_status(connection: sa.Connection, serial: int, status: int) -> None:
    """Keep the status of the answer."""
    row = sa.update(tables.access_log).where(tables.access_log.c.serial == serial)
    connection.execute(row.values(status=status))


def read_accesses(connection: sa.Connection, since: datetime | None, most: int) -> list[Access]:
    """Read the newest uses, the newest first."""
    log = tables.access_log.c
    query = sa.select(*(log[name] for name in Access._fields)).order_by(log.serial.desc())
    if since is not None:
        query = query.where(log.at >= since)
    rows: Sequence[sa.Row[tuple[object, ...]]] = connection.execute(query.limit(most)).all()
    return [Access(**row._mapping) for row in rows]
