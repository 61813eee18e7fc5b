"""Reads the contract tables of a folder in batches of checked rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from features.errors import InvalidData
from features.ingest.cells import Row
from features.ingest.contract_tables import READERS, Business, ParsedRows
from features.store.table_files import open_table

BATCH_ROWS = 20_000  # rows written in one transaction at most
# Customers and identifiers in one transaction: a database takes some 32,000 values in a statement.
BATCH_KEYS = 30_000
UNREADABLE = (pa.ArrowInvalid, UnicodeDecodeError, OSError)


@dataclass(frozen=True)
class ContractTable:
    """One table of a folder, and the business whose rules its rows are read by."""

    name: str
    path: Path
    business: Business

    @cached_property
    def total(self) -> int:
        """The number of rows.

        Raises
        ------
        InvalidData
            If the file is not a table.
        """
        try:
            return int(open_table(self.path).count_rows())
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the whole file, so that no change is missed; it takes a second a gigabyte."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def rows(self, after: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield the number and the cells of each row after row ``after``, without empty cells.

        Raises
        ------
        InvalidData
            If the file is not a table.
        """
        number = 0
        try:
            for batch in open_table(self.path).to_batches(batch_size=BATCH_ROWS):
                if number + len(batch) <= after:
                    number += len(batch)
                    continue
                for row in batch.to_pylist():
                    number += 1
                    if number > after:
                        yield number, _without_empty(row)
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error

    def parse(self, row: Row, parsed: ParsedRows) -> None:
        """Add a row to parsed rows.

        Raises
        ------
        InvalidData
            If the row breaks a rule of its table.
        """
        READERS[self.name](row, self.business, parsed)

    def batches(self, after: int = 0) -> Iterator[tuple[int, ParsedRows]]:
        """Yield batches of rows after row ``after``, each with the number of its last row."""
        parsed, number, done = ParsedRows(), after, after
        for number, row in self.rows(after):
            self.parse(row, parsed)
            if number - done == BATCH_ROWS or len(parsed.keys) >= BATCH_KEYS:
                yield number, parsed
                parsed, done = ParsedRows(), number
        if number > done:
            yield number, parsed


def find_tables(folder: Path, business: Business) -> list[ContractTable]:
    """Find the contract tables of a folder; of two files for one table, the parquet file.

    Raises
    ------
    InvalidData
        If the folder holds none of the tables.
    """
    found = []
    for name in READERS:
        paths = (folder / f"{name}.{ending}" for ending in ("parquet", "csv"))
        if path := next((path for path in paths if path.exists()), None):
            found.append(ContractTable(name, path, business))
    if not found:
        raise InvalidData(
            f"{folder} holds none of the contract tables.",
            expected=f"some of {', '.join(READERS)} as .csv or .parquet",
            remedy="Name the folder that holds them.",
        )
    return found


def _without_empty(row: Row) -> Row:
    return {k: v for k, v in row.items() if v is not None and v != "" and v == v}  # nan is empty


def _unreadable(path: Path, error: Exception) -> InvalidData:
    return InvalidData(
        f"{path} cannot be read: {' '.join(str(error).split())}.",
        expected="a table with a header and the same number of cells in each row",
        remedy="Correct the file and load it again.",
    )
