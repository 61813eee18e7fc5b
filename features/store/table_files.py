"""Opens CSV and parquet tables, and rewrites them without some rows atomically."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from features.store.csv_table import CsvTable
from features.store.text_encoding import UTF_8

ENDINGS = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True)
class ParquetTable:
    """A parquet file that is read in batches; its cells keep their types."""

    file: Path

    @cached_property
    def _dataset(self) -> ds.Dataset:
        return ds.dataset(self.file, format="parquet")

    @property
    def names(self) -> list[str]:
        """The column names.

        Raises
        ------
        pyarrow.ArrowInvalid, OSError
            If the file is not a table, as in all methods.
        """
        return list(self._dataset.schema.names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order; only some columns if they are named."""
        yield from self._dataset.to_batches(columns=columns)


def is_table(file: Path) -> bool:
    """Return whether the name of a file ends as that of a table does, in letters of any case."""
    return file.name.lower().endswith(ENDINGS)


def open_table(file: Path, encoding: str = UTF_8) -> CsvTable | ParquetTable:
    """Open a table that is read in batches; all cells of a CSV file are texts.

    The encoding is that of a CSV file.

    Raises
    ------
    InvalidData, pyarrow.ArrowInvalid, OSError
        When names or rows are read, if the file is not a table.
    """
    return ParquetTable(file) if _is_parquet(file) else CsvTable(file, encoding)


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
    InvalidData, pyarrow.ArrowInvalid, OSError
        If the file cannot be read or written; then it is as it was.
    """
    parts = _parquet_parts if _is_parquet(file) else _csv_parts
    columns = {name: values for name, values in gone.items() if values}
    if not any(_named(table, columns) for table in parts(file, columns)):
        return False
    part = file.with_suffix(".part")
    try:
        _write(part, file, (_without(table, columns) for table in parts(file, None)))
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
    columns = None if gone is None else [one for one in table.names if one in gone]
    if columns != []:
        for batch in table.batches(columns):
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


def _write(part: Path, file: Path, tables: Iterator[pa.Table]) -> None:
    """Write tables into a part in the format of a file."""
    first = next(tables)
    writer = pq.ParquetWriter if _is_parquet(file) else pa_csv.CSVWriter
    zipped = "gzip" if file.suffix.lower() == ".gz" else None
    with (
        pa.output_stream(str(part), compression=zipped) as stream,
        writer(stream, first.schema) as opened,
    ):
        opened.write_table(first)
        for table in tables:
            opened.write_table(table)


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"
