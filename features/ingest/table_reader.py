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
from features.ingest.checks.folder import files_of_tables
from features.ingest.checks.table_columns import check_header, id_columns
from features.ingest.checks.whole_ids import Survey, survey_ids, without_fraction
from features.ingest.contract_tables import READERS, Business, ParsedRows
from features.store.csv_layout import not_a_table
from features.store.csv_table import CsvTable
from features.store.table_files import ParquetTable, open_table
from features.store.text_encoding import UTF_8

BATCH_ROWS = 20_000  # rows written in one transaction at most
# Customers and identifiers in one transaction: a database takes some 32,000 values in a statement.
BATCH_KEYS = 30_000
INDEX_OF_PANDAS = "__index_level_"  # a parquet column that nobody has named
UNREADABLE = (pa.ArrowInvalid, OSError)


@dataclass(frozen=True)
class ContractTable:
    """One table of a folder, and the business whose rules its rows are read by.

    ``encoding`` is that of a CSV file. Everything that reads the file raises `InvalidData` if it is
    not a table, or lacks a column that every table of its name has.
    """

    name: str
    path: Path
    business: Business
    encoding: str = UTF_8

    @property
    def total(self) -> int:
        """The number of rows."""
        return self._survey.rows

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about columns that are not read, or not as they stand there."""
        return (*self._columns[1], *self._survey.notes)

    @property
    def csv_layout(self) -> tuple[list[str], str] | None:
        """The columns of a CSV file, without blanks around the names, and its separator."""
        table = self._table
        if isinstance(table, ParquetTable):
            return None
        return [name.strip() for name in table.names], table.separator

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the whole file, so that no change is missed; it takes a second a gigabyte."""
        with self.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return found if self.encoding == UTF_8 else f"{found}-{self.encoding}"

    def rows(self, after: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield the number and the cells of each row after row ``after``, without empty cells."""
        number, names = 0, self._columns[0]
        try:
            for part in self._table.batches(list(names)):
                if number + len(part) <= after:
                    number += len(part)
                    continue
                batch = without_fraction(part, self._survey.whole)
                for row in batch.rename_columns(list(names.values())).to_pylist():
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
            If the row breaks a rule of its table. One without any cell is passed.
        """
        if row:  # spreadsheets have rows without a cell below the table
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

    @cached_property
    def _table(self) -> CsvTable | ParquetTable:
        return open_table(self.path, self.encoding)

    @cached_property
    def _columns(self) -> tuple[dict[str, str], list[str]]:
        """By name in the file, the name under which a column is read; and notes on the others."""
        try:
            names = self._table.names
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error
        notes = check_header(str(self.path), names, self.name, self.business.domain)
        named = (name for name in names if name.strip() and not name.startswith(INDEX_OF_PANDAS))
        return {name: name.strip() for name in named}, notes

    @cached_property
    def _survey(self) -> Survey:
        ids = id_columns(self.name, self.business.domain)
        named = [name for name, read_as in self._columns[0].items() if read_as in ids]
        try:
            return survey_ids(self._table, named)
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error


def find_tables(folder: Path, business: Business, encoding: str = UTF_8) -> list[ContractTable]:
    """Find the contract tables of a folder; the encoding is that of its CSV files.

    Raises
    ------
    InvalidData
        If the folder holds none of the tables, or two files for one.
    """
    files = files_of_tables(folder)
    return [ContractTable(name, path, business, encoding) for name, path in files.items()]


def _without_empty(row: Row) -> Row:
    return {k: v for k, v in row.items() if v is not None and v != "" and v == v}  # nan is empty


def _unreadable(path: Path, error: Exception) -> InvalidData:
    return not_a_table(path, " ".join(str(error).split()))
