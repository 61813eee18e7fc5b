"""Takes rows out of parquet and CSV files; a reader meets the old file or the new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq


def rewrite(file: Path, gone: dict[str, set[str]]) -> None:
    """The same file without the rows of the forgotten, if it has any."""
    read, write = _HOW[file.suffix]
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
    with file.open(encoding="utf-8-sig") as opened:
        header = opened.readline().strip().replace('"', "").split(",")
    texts = pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    return pa_csv.read_csv(file, convert_options=texts)


_HOW: dict[str, tuple[Callable[[Path], pa.Table], Callable[[pa.Table, Path], None]]] = {
    ".parquet": (pq.read_table, pq.write_table),
    ".csv": (_read_csv, pa_csv.write_csv),
}
