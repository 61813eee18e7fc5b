"""Finds decisions and outcomes whose id is in the ledger with another content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from features.errors import quoted
from features.identity.holders import base_key
from features.identity.spelling import one_spelling
from features.ingest.cells import Row
from features.ingest.load_report import OTHER_CONTENT, LeftOut
from features.ledger import tables
from features.ledger.statements import select_in_batches

_COMPARED = {
    tables.decisions: ("subject", "decided_at", "channel", "action_id", "probability"),
    tables.outcomes: ("decision_id", "action_id", "outcome", "value", "occurred_at", "shared_id"),
}
_IDS = {tables.decisions: "decision_id", tables.outcomes: "outcome_id"}


def with_other_content(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row]
) -> Iterator[LeftOut]:
    """Yield the rows that were not inserted, as a row with their id has another content.

    Parameters
    ----------
    rows
        Rows of decisions or outcomes; the ledger has a row with the id of each.
    """
    name = _IDS[table]
    query = sa.select(table.c[name], *(table.c[column] for column in _COMPARED[table]))
    ids = sorted({row[name] for row in rows})
    stored = {
        getattr(one, name): one for one in select_in_batches(connection, query, table.c[name], ids)
    }
    for row in rows:
        column = _first_difference(row, stored[row[name]], _COMPARED[table])
        if column is not None:
            kept, sent = getattr(stored[row[name]], column), row[column]
            yield LeftOut(
                OTHER_CONTENT,
                f"{name} {quoted(row[name])} is there with {_shown(column, kept)}, not "
                f"{_shown('', sent)}. {_remedy(row, name)}",
            )


def _first_difference(row: Row, stored: Any, columns: Sequence[str]) -> str | None:
    for column in columns:
        kept, sent = getattr(stored, column), row[column]
        if column == "subject":  # may be stored in a former spelling, or with a holder
            kept, sent = (one_spelling(base_key(key)) for key in (kept, sent))
        # An imported outcome need not name the action.
        if kept != sent and not (column == "action_id" and kept == ""):
            return column
    return None


def _shown(column: str, value: Any) -> str:
    name = "customer_id" if column == "subject" else column
    text = value.isoformat() if hasattr(value, "isoformat") else quoted(value)
    return f"{name} {text}".strip()


def _remedy(row: Row, name: str) -> str:
    if name == "outcome_id" and row[name] == f"{row['decision_id']}:{row['outcome']}":
        return "Tell outcomes of one kind apart by a column outcome_id"
    return f"Give it a {name} of its own"
