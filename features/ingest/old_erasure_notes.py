"""Adopts the erasures that former versions noted as facts of the ledger."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from pydantic_core import from_json

from features.ingest.erasure_log import DECISION, KEY, add_erasure, note_ids
from features.ledger import tables

OLD_NOTE = "erasing "  # prefix of the facts


def adopt_old_notes(connection: sa.Connection) -> None:
    """Turn the notes of former versions into rows of the table of erasures."""
    meta = tables.meta.c
    query = sa.select(meta.key, meta.value).where(meta.key.startswith(OLD_NOTE, autoescape=True))
    for name, note in connection.execute(query).all():
        keys, decision_ids = from_json(note)
        at = datetime.fromisoformat(name.removeprefix(OLD_NOTE))
        erasure_id = add_erasure(connection, at, rows_erased_at=at)
        note_ids(connection, erasure_id, KEY, keys)
        note_ids(connection, erasure_id, DECISION, decision_ids)
        connection.execute(sa.delete(tables.meta).where(meta.key == name))


def has_old_notes(connection: sa.Connection) -> bool:
    """Return whether a former version noted an erasure that is not finished."""
    noted = tables.meta.c.key.startswith(OLD_NOTE, autoescape=True)
    return bool(connection.execute(sa.select(sa.exists().where(noted))).scalar())
