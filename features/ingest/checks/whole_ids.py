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


class Survey(NamedTuple):
    """The number of rows, the columns whose ids lose their ``.0``, and notes on mixed columns."""

    rows: int
    whole: frozenset[str]
    notes: tuple[str, ...]


def survey_ids(table: CsvTable | ParquetTable, columns: Sequence[str]) -> Survey:
    """Read the columns of ids once."""
    rows, filled, fractions = 0, dict.fromkeys(columns, 0), dict.fromkeys(columns, 0)
    for batch in table.batches(columns):
        rows += len(batch)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                filled[name] += pc.sum(pc.not_equal(column, "")).as_py() or 0
                # Most columns have no such cell, and this test is fast.
                if pc.any(pc.ends_with(column, "0")).as_py():
                    found = pc.match_substring_regex(column, _WITH_FRACTION)
                    fractions[name] += pc.sum(found).as_py() or 0
    notes = [
        f"column {name!r}: {fractions[name]:,} of {filled[name]:,} ids end with .0 and keep it, "
        "as the others do not"
        for name in columns
        if 0 < fractions[name] < filled[name]
    ]
    whole = (name for name in columns if filled[name] and fractions[name] == filled[name])
    return Survey(rows, frozenset(whole), tuple(notes))


def without_fraction(batch: pa.RecordBatch, whole: frozenset[str]) -> pa.RecordBatch:
    """Remove the ``.0`` from the ids of some columns."""
    for place, name in enumerate(batch.schema.names):
        if name in whole:
            ids = pc.replace_substring_regex(batch.column(place), r"\.0+$", "")
            batch = batch.set_column(place, name, ids)
    return batch
