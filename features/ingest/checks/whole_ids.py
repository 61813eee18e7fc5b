"""Reads 123.0 as the id 123, in a column in which all ids look like that.

pandas makes floats of a column of whole numbers with a gap, and writes each as 123.0. Then the
table does not join with the others. A column decides as a whole: beside the version 1.1, the id 1.0
is not a whole number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from features.store.csv_table import CsvTable
from features.store.table_files import ParquetTable

_WITH_FRACTION = r"^[0-9]+\.0+$"
_SHORTENED = r"^[0-9]\.[0-9]+[eE]\+[0-9]+$"


class Survey(NamedTuple):
    """The number of rows, the columns whose ids lose their ``.0``, and notes on mixed columns."""

    rows: int
    whole: frozenset[str]
    notes: tuple[str, ...]


def survey_ids(table: CsvTable | ParquetTable, columns: Sequence[str]) -> Survey:
    """Read the columns of ids once."""
    rows, filled = 0, dict.fromkeys(columns, 0)
    fractions, shortened = dict.fromkeys(columns, 0), dict.fromkeys(columns, 0)
    for batch in table.batches(columns):
        rows += len(batch)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                filled[name] += pc.sum(pc.not_equal(column, "")).as_py() or 0
                # Most columns have no such cells, and the tests for one character are fast.
                fractions[name] += _matching(column, "0", _WITH_FRACTION)
                shortened[name] += _matching(column, "+", _SHORTENED)
    notes = [
        f"column {name!r}: {fractions[name]:,} of {filled[name]:,} ids end with .0 and keep it, "
        "as the others do not"
        for name in columns
        if 0 < fractions[name] < filled[name]
    ]
    notes += [
        f"column {name!r}: {count:,} ids look like 1.23457E+15, as programs write a long number "
        "that has lost digits"
        for name, count in shortened.items()
        if count
    ]
    whole = (name for name in columns if filled[name] and fractions[name] == filled[name])
    return Survey(rows, frozenset(whole), tuple(notes))


def _matching(column: pa.Array, holding: str, pattern: str) -> int:
    """Count the cells that match a pattern; each of them holds a character."""
    if not pc.any(pc.match_substring(column, holding)).as_py():
        return 0
    return pc.sum(pc.match_substring_regex(column, pattern)).as_py() or 0


def without_fraction(batch: pa.RecordBatch, whole: frozenset[str]) -> pa.RecordBatch:
    """Remove the ``.0`` from the ids of some columns."""
    for place, name in enumerate(batch.schema.names):
        if name in whole:
            ids = pc.replace_substring_regex(batch.column(place), r"\.0+$", "")
            batch = batch.set_column(place, name, ids)
    return batch
