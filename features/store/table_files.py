"""Opens CSV and parquet tables, and rewrites them without some rows atomically."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def open_table(file: Path) -> ds.Dataset:
    """Open a table that is read in batches; all cells of a CSV file are texts.

    Raises
    ------
    pyarrow.ArrowInvalid, UnicodeDecodeError, OSError
        At once or when rows are read, if the file is not a table.
    """
    if file.suffix == ".parquet":
        return ds.dataset(file, format="parquet")
    # Guessing types would turn the customer 007 into the customer 7.
    with file.open(encoding="utf-8-sig", newline="") as opened:
        header = next(csv.reader(opened), [])
    texts = pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    return ds.dataset(file, format=ds.CsvFileFormat(convert_options=texts))


def rewrite(file: Path, gone: Mapping[str, Set[str]]) -> bool:
    """Write a file anew without some rows; a reader sees the old file or the new one.

    The file is read in parts. A part of a parquet file whose statistics exclude all values is not
    read at all.

    Parameters
    ----------
    gone
        By column, the values whose rows are left out. Without such rows the file is not touched.

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    pyarrow.ArrowInvalid, UnicodeDecodeError, OSError
        If the file cannot be read or written; then it is as it was.
    """
    parts = _PARTS[file.suffix]
    columns = {name: values for name, values in gone.items() if values}
    if not any(_named(table, columns) for table in parts(file, columns)):
        return False
    part = file.with_suffix(".part")
    try:
        _write(part, file.suffix, (_without(table, columns) for table in parts(file, None)))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return True


def _named(table: pa.Table, gone: Mapping[str, Set[str]]) -> bool:
    return bool(pc.any(_found(table, gone)).as_py())


def _without(table: pa.Table, gone: Mapping[str, Set[str]]) -> pa.Table:
    return table.filter(pc.invert(_found(table, gone)))


def _found(table: pa.Table, gone: Mapping[str, Set[str]]) -> Any:
    """Find the rows that name one of the values, shape (n_rows,)."""
    found = pa.array(np.zeros(len(table), dtype=bool))
    for column in gone.keys() & {*table.column_names}:
        values = table[column].cast(pa.string())
        if column == "identifiers":  # several in one cell
            named = [bool(gone[column] & {*str(cell or "").split()}) for cell in values.to_pylist()]
            found = pc.or_(found, pa.array(named, pa.bool_()))
        else:
            which = pc.is_in(values, value_set=pa.array(sorted(gone[column]), pa.string()))
            found = pc.or_(found, which)
    return found


def _csv_parts(file: Path, gone: Mapping[str, Set[str]] | None) -> Iterator[pa.Table]:
    """Read the rows in parts; only the columns of ``gone`` unless it is None."""
    table = open_table(file)
    columns = None if gone is None else [one for one in table.schema.names if one in gone]
    if columns != []:
        for batch in table.to_batches(columns=columns):
            yield pa.Table.from_batches([batch])


def _parquet_parts(file: Path, gone: Mapping[str, Set[str]] | None) -> Iterator[pa.Table]:
    """Read the row groups; only those, and only the columns, that may hold values of ``gone``."""
    with pq.ParquetFile(file) as opened:
        names = opened.schema_arrow.names
        columns = None if gone is None else [one for one in names if one in gone]
        for number in range(opened.num_row_groups):
            if gone is None or _may_hold(opened.metadata.row_group(number), gone):
                yield opened.read_row_group(number, columns)


def _may_hold(group: Any, gone: Mapping[str, Set[str]]) -> bool:
    """Return whether the statistics of a row group allow one of the values."""
    for number in range(group.num_columns):
        column = group.column(number)
        values = gone.get(column.path_in_schema)
        if not values:
            continue
        known = column.statistics
        plain = known is not None and known.has_min_max and isinstance(known.min, str)
        if column.path_in_schema == "identifiers" or not plain:
            return True
        if any(known.min <= value <= known.max for value in values):
            return True
    return False


def _write(file: Path, suffix: str, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    writer = pq.ParquetWriter if suffix == ".parquet" else pa_csv.CSVWriter
    with writer(str(file), first.schema) as opened:
        opened.write_table(first)
        for table in tables:
            opened.write_table(table)


_PARTS: dict[str, Callable[[Path, Mapping[str, Set[str]] | None], Iterator[pa.Table]]] = {
    ".parquet": _parquet_parts,
    ".csv": _csv_parts,
}
