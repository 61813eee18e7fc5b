"""From a folder with the four contract tables to the ledger.

Loading checks every row before anything is written, reports PASS or FAIL for each table with
the first offender, and may be repeated: rows that are there already stay as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import sqlalchemy as sa
import yaml

from features import ledger as tables
from features.catalog import Catalog
from features.contract_tables import READERS, Reader, Row
from features.domain import Domain
from features.errors import InvalidData
from features.ledger import Ledger
from features.progress import Progress, quiet

BATCH = 20_000
UNREADABLE = (pa.ArrowInvalid, UnicodeDecodeError, OSError)


@dataclass(frozen=True, slots=True)
class Report:
    """What the check of one table found."""

    table: str
    rows: int
    good: int
    first_offender: str | None
    added: int = 0

    @property
    def passed(self) -> bool:
        return self.good == self.rows

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "FAIL"
        text = f"{verdict}  {self.table:<10} {self.good:>9,} of {self.rows:,} rows are good"
        return text if self.passed else f"{text}; first: {self.first_offender}"


def load_folder(
    folder: Path,
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    progress: Progress = quiet,
    dry_run: bool = False,
) -> list[Report]:
    """Check the tables of a folder and bring them into the ledger.

    Parameters
    ----------
    folder
        Holds `customers`, `events`, `decisions`, `outcomes` as .csv or .parquet; each may be
        missing. `source.yaml` may say by how many days an importer shifted all times.

    Returns
    -------
    list of Report
        One for each table found. If one failed, nothing was written.

    Raises
    ------
    InvalidData
        If the folder holds none of the tables.
    """
    found = {name: path for name in READERS if (path := _find(folder, name))}
    if not found:
        raise InvalidData(
            f"{folder} holds none of the contract tables.",
            expected=f"some of {', '.join(READERS)} as .csv or .parquet",
            remedy="Name the folder that holds them.",
        )
    reports = [
        _check(name, path, READERS[name], domain, catalog, progress) for name, path in found.items()
    ]
    if dry_run or not all(report.passed for report in reports):
        return reports
    done = []
    for report, (name, path) in zip(reports, found.items(), strict=True):
        added = _load(name, path, READERS[name], ledger, domain, catalog, progress)
        done.append(Report(name, report.rows, report.good, None, added))
    ledger.write_now(lambda connection: _note_source(connection, folder, domain))
    return done


def is_loaded(ledger: Ledger) -> bool:
    """Whether a folder was loaded to the end."""
    return ledger.read(lambda connection: tables.get_meta(connection, "domain")) is not None


def shift_of(ledger: Ledger) -> timedelta:
    """By how much an importer moved the times of the original data; zero if it did not."""
    days = ledger.read(lambda connection: tables.get_meta(connection, "shift_days"))
    return timedelta(days=int(days or 0))


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.{ending}" for ending in ("parquet", "csv"))
    return next((path for path in paths if path.exists()), None)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Row number and row, without the cells that are empty."""
    number = 0
    try:
        for batch in _dataset(path).to_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, {k: v for k, v in row.items() if v is not None and v != "" and v == v}
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _total(path: Path) -> int:
    try:
        return int(_dataset(path).count_rows())
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _dataset(path: Path) -> ds.Dataset:
    if path.suffix == ".parquet":
        return ds.dataset(path, format="parquet")
    # All cells as texts: guessing types would turn the customer 007 into the customer 7.
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    texts = pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    return ds.dataset(path, format=ds.CsvFileFormat(convert_options=texts))


def _unreadable(path: Path, error: Exception) -> InvalidData:
    return InvalidData(
        f"{path} cannot be read: {' '.join(str(error).split())}.",
        expected="a table with a header and the same number of cells in each row",
        remedy="Correct the file and load it again.",
    )


def _check(
    name: str, path: Path, read: Reader, domain: Domain, catalog: Catalog, progress: Progress
) -> Report:
    rows, good, first = 0, 0, None
    total = _total(path)
    for rows, row in _rows(path):
        try:
            for _ in read(row, domain, catalog):
                pass
            good += 1
        except InvalidData as error:
            first = first or f"row {rows}: {error}"
        if rows % BATCH == 0:
            progress(f"check {name}", rows, total)
    progress(f"check {name}", total, total)
    return Report(name, rows, good, first)


def _load(
    name: str,
    path: Path,
    read: Reader,
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    progress: Progress,
) -> int:
    added, total = 0, _total(path)
    waiting: dict[sa.Table, list[Row]] = {}
    for number, row in _rows(path):
        for table, values in read(row, domain, catalog):
            waiting.setdefault(table, []).append(values)
        if number % BATCH == 0 or number == total:
            group, waiting = waiting, {}
            added += ledger.write_now(lambda connection, group=group: _insert(connection, group))  # type: ignore[misc]
            progress(f"load {name}", number, total)
    return added


def _insert(connection: sa.Connection, group: Mapping[sa.Table, list[Row]]) -> int:
    counts = [tables.insert_new(connection, table, rows) for table, rows in group.items()]
    return counts[0]


def _note_source(connection: sa.Connection, folder: Path, domain: Domain) -> None:
    tables.set_meta(connection, "domain", domain.name)
    source = folder / "source.yaml"
    if source.exists() and tables.get_meta(connection, "shift_days") is None:
        note = yaml.safe_load(source.read_text(encoding="utf-8"))
        tables.set_meta(connection, "shift_days", str(note["shift_days"]))
