"""Opens CSV tables as people save them: any separator, encoding or gzip, line breaks in quotes."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from features.errors import InvalidData
from features.store.csv_layout import HEAD_BYTES, CsvLayout, layout_of, not_a_table
from features.store.text_encoding import UTF_8, first_wrong_byte, in_another_encoding

BLOCK_BYTES = 1 << 20  # read at once; no row may be longer
UNREADABLE = (pa.ArrowInvalid, UnicodeError, OSError, EOFError, csv.Error)


@dataclass(frozen=True)
class CsvTable:
    """A CSV file that is read in batches; all its cells are texts."""

    file: Path
    encoding: str = UTF_8

    @property
    def names(self) -> list[str]:
        """The column names as the header has them.

        Raises
        ------
        InvalidData
            If the file is not a table, as in all methods.
        """
        return self._layout.names

    @property
    def separator(self) -> str:
        """The character between the cells."""
        return self._layout.separator

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order; only some columns if they are named."""
        layout = self._layout
        if layout.is_empty:
            return
        wrong: list[pa_csv.InvalidRow] = []

        def refuse(row: pa_csv.InvalidRow) -> str:
            wrong.append(row)
            return "error"

        last, rows = None, 0
        try:
            with self._open_stream() as stream:
                for last in pa_csv.open_csv(
                    stream,
                    pa_csv.ReadOptions(
                        column_names=layout.names,
                        skip_rows=layout.header_lines,
                        block_size=BLOCK_BYTES,
                        use_threads=False,  # else a refused row has no number
                        encoding="utf8" if self.encoding == UTF_8 else self.encoding,
                    ),
                    pa_csv.ParseOptions(
                        delimiter=layout.separator,
                        newlines_in_values=True,
                        invalid_row_handler=refuse,
                    ),
                    # Guessing types would turn the customer 007 into the customer 7.
                    pa_csv.ConvertOptions(
                        column_types=dict.fromkeys(layout.names, pa.string()),
                        include_columns=list(columns or ()),
                    ),
                ):
                    rows += len(last)
                    yield last
        except UNREADABLE as error:
            if wrong:
                raise not_a_table(self.file, layout.said_of(wrong[0])) from error
            raise self._unreadable(error) from error
        if last is not None and self._ends_in_quotes(last):
            raise not_a_table(
                self.file, f'row {rows:,}, the last one, has a quote (") that is not closed'
            )

    @cached_property
    def _layout(self) -> CsvLayout:
        try:
            with self._open_binary() as file:
                return layout_of(self.file, file.read(HEAD_BYTES), self.encoding)
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _open_binary(self) -> IO[bytes]:
        zipped = self.file.suffix.lower() == ".gz"
        return cast("IO[bytes]", gzip.open(self.file) if zipped else self.file.open("rb"))

    def _open_stream(self) -> Any:
        zipped = self.file.suffix.lower() == ".gz"
        return pa.input_stream(str(self.file), compression="gzip" if zipped else None)

    def _ends_in_quotes(self, last: pa.RecordBatch) -> bool:
        """Return whether the file ends within a quote; Arrow takes its end for the closing one."""
        if (
            not len(last)
            or last.schema.names[-1:] != self.names[-1:]
            or "\n" not in str(last.column(-1)[-1])
        ):
            return False
        with self._open_binary() as file:
            tail = b""
            while part := file.read(BLOCK_BYTES):
                tail = (tail + part)[-HEAD_BYTES:]
        return not tail.rstrip(b"\0\r\n ").endswith(b'"')

    def _unreadable(self, error: Exception) -> InvalidData:
        said = " ".join(str(error).split())
        if isinstance(error, pa.ArrowInvalid | UnicodeError):
            with self._open_binary() as file:
                happened = first_wrong_byte(file, self.encoding)
            if happened is not None:
                return in_another_encoding(self.file, happened)
        if "straddling" in said:
            said = f'a row is longer than {BLOCK_BYTES:,} bytes; a quote (") may not be closed'
        return not_a_table(self.file, said)
