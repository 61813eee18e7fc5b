"""Defines the column types and the metadata that all tables of the ledger share."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcMicros(sa.TypeDecorator[datetime]):
    """A column type: an aware UTC time, stored as whole microseconds since 1970.

    It is exact, sortable, and the same in every database. A naive time is refused.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


def micros(moment: datetime) -> int:
    """Convert an aware time to whole microseconds since 1970."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Convert microseconds since 1970 to a UTC time."""
    return EPOCH + timedelta(microseconds=value)


def parse_micros(text: str) -> int | None:
    """Read microseconds since 1970, as `str` writes them; None if the text is no such time.

    ``int`` alone reads more ("１_0"), ``str.isdigit`` is true for what ``int`` refuses ("²"), and
    not every whole number is a time.
    """
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        return None
    try:
        from_micros(int(text))
    except OverflowError:
        return None
    return int(text)


metadata = sa.MetaData()
# Compared byte by byte, so that the order of events does not depend on the database's language.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# 64 bits: PostgreSQL increments a sequence at failed inserts, too, so 32 bits could run out.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def partial_index(name: str, holds: sa.ColumnElement[bool], *columns: sa.Column[Any]) -> sa.Index:
    """Index columns of a table for those rows for which a condition holds."""
    return sa.Index(name, *columns, sqlite_where=holds, postgresql_where=holds)
