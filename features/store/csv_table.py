"""Opens CSV tables as people save them: any separator, encoding or gzip, line breaks in quotes."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from features.errors import InvalidData
from features.store.text_encoding import UTF_8, first_wrong_byte, in_another_encoding

HEAD_BYTES = 1 << 16  # read for the header
BLOCK_BYTES = 1 << 20  # read at once; no row may be longer
MARKS_OF_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
UNREADABLE = (pa.ArrowInvalid, UnicodeError, OSError, EOFError, csv.Error)


class _Layout(NamedTuple):
    """The layout of a file: ``header_lines`` include the empty lines before the header."""

    separator: str
    names: list[str]
    header_lines: int
    is_empty: bool


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

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order; only some columns if they are named."""
        layout = self._layout
        if layout.is_empty:
            return
        try:
            with self._open_stream() as stream:
                yield from pa_csv.open_csv(
                    stream,
                    pa_csv.ReadOptions(
                        column_names=layout.names,
                        skip_rows=layout.header_lines,
                        block_size=BLOCK_BYTES,
                        encoding="utf8" if self.encoding == UTF_8 else self.encoding,
                    ),
                    pa_csv.ParseOptions(delimiter=layout.separator, newlines_in_values=True),
                    # Guessing types would turn the customer 007 into the customer 7.
                    pa_csv.ConvertOptions(
                        column_types=dict.fromkeys(layout.names, pa.string()),
                        include_columns=list(columns or ()),
                    ),
                )
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    @cached_property
    def _layout(self) -> _Layout:
        try:
            with self._open_binary() as file:
                head = file.read(HEAD_BYTES)
            if self.encoding == UTF_8 and (head.startswith(MARKS_OF_UTF_16) or b"\0" in head):
                raise in_another_encoding(self.file, "it looks like UTF-16", "utf-16")
            text = codecs.getincrementaldecoder(self.encoding)().decode(head).removeprefix("\ufeff")
            separator = separator_of(text)
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
            names = next((row for row in reader if row), None)
        except UNREADABLE as error:
            raise self._unreadable(error) from error
        if names is None:
            raise _not_a_table(self.file, "it is empty")
        lines = reader.line_num
        is_empty = len(head) < HEAD_BYTES and not any(reader)
        return _Layout(separator, names, lines, is_empty)

    def _open_binary(self) -> IO[bytes]:
        zipped = self.file.suffix.lower() == ".gz"
        return cast("IO[bytes]", gzip.open(self.file) if zipped else self.file.open("rb"))

    def _open_stream(self) -> Any:
        zipped = self.file.suffix.lower() == ".gz"
        return pa.input_stream(str(self.file), compression="gzip" if zipped else None)

    def _unreadable(self, error: Exception) -> InvalidData:
        said = " ".join(str(error).split())
        if isinstance(error, pa.ArrowInvalid | UnicodeError):
            with self._open_binary() as file:
                happened = first_wrong_byte(file, self.encoding)
            if happened is not None:
                return in_another_encoding(self.file, happened)
        if "straddling" in said:
            said = f'a row is longer than {BLOCK_BYTES:,} bytes; a quote (") may not be closed'
        return _not_a_table(self.file, said)


def separator_of(text: str) -> str:
    """Find the separator of a table: the one that is most frequent in the header, outside quotes.

    If the header has none, the table has one column, and the separator is a comma.
    """
    unquoted = re.sub(r'"(?:[^"]|"")*"', "", text.lstrip("\r\n"))
    header = re.split(r"[\r\n]", unquoted, maxsplit=1)[0]
    return max(",;\t", key=header.count)


def _not_a_table(file: Path, happened: str) -> InvalidData:
    return InvalidData(
        f"{file} cannot be read: {happened.rstrip('.')}.",
        expected="a table with a header and the same number of cells in each row",
        remedy="Correct the file and load it again.",
    )
