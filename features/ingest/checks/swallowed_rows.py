"""Refuses cells that hold rows of their table: a quote was not closed in its row.

The quote of a later cell closes it, and the rows between are lost in one long text. A line of a
cell is taken for a row if it has a time where the table has its times.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime

from features.errors import InvalidData, quoted
from features.ingest.cells import Row

TIMES = ("occurred_at", "decided_at")  # each row of events, decisions or outcomes has one


def refuse_swallowed_rows(row: Row, names: Sequence[str], separator: str) -> None:
    """Refuse a row of a CSV table if one of its cells holds further rows.

    Parameters
    ----------
    names
        The header of the table, without blanks around the names.

    Raises
    ------
    InvalidData
        Names the column and the first line that looks like a row.
    """
    if "\n" not in "".join(row.values()):  # most rows
        return
    for column, cell in row.items():
        places = [names.index(name) for name in TIMES if name in names]
        for line in cell.splitlines()[1:]:
            if any(_is_row(line, place, len(names), separator) for place in places):
                raise InvalidData(
                    f"{column} holds a line that looks like a row of the table: {quoted(line)}.",
                    expected='a cell whose quote (") is closed in its row',
                    remedy="Close the quote, or write it twice, and load the table again.",
                )


def _is_row(line: str, place: int, n_columns: int, separator: str) -> bool:
    cells = next(csv.reader([line], delimiter=separator), [])
    if len(cells) <= place or 2 * len(cells) <= n_columns:
        return False
    try:
        datetime.fromisoformat(cells[place])
    except ValueError:
        return False
    return True
