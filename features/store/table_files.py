"""Opens CSV and parquet tables, and rewrites them without some rows atomically."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

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


def rewrite(file: Path, gone: dict[str, set[str]]) -> None:
    """Write a file anew without some rows; a reader sees the old file or the new one.

    Parameters
    ----------
    gone
        By column, the values whose rows are left out. Without such rows the file is not touched.
    """
    read, write = _FORMATS[file.suffix]
    table = read(file)
    keep = pa.array([True] * len(table), pa.bool_())
    for column in gone.keys() & {*table.column_names}:
        values = table[column].cast(pa.string())
        if column == "identifiers":  # several in one cell
            named = [bool(gone[column] & {*str(cell or "").split()}) for cell in values.to_pylist()]
            keep = pc.and_(keep, pc.invert(pa.array(named, pa.bool_())))
        else:
            found = pc.is_in(values, value_set=pa.array(sorted(gone[column]), pa.string()))
            keep = pc.and_(keep, pc.invert(found))
    if not pc.all(keep).as_py():
        part = file.with_suffix(".part")
        write(table.filter(keep), part)
        part.replace(file)


def _read_csv(file: Path) -> pa.Table:
    return open_table(file).to_table()


_FORMATS: dict[str, tuple[Callable[[Path], pa.Table], Callable[[pa.Table, Path], None]]] = {
    ".parquet": (pq.read_table, pq.write_table),
    ".csv": (_read_csv, pa_csv.write_csv),
}
