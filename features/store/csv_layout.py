"""Finds the separator and the header of a CSV table from its first bytes."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

import pyarrow.csv as pa_csv

from features.errors import InvalidData, quoted
from features.store.text_encoding import UTF_8, in_another_encoding

HEAD_BYTES = 1 << 16  # read for the header
MARKS_OF_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
OTHER_FILES = {
    b"PK\3\4": "a workbook or a zip file",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a parquet file",
}
TOLD_SEPARATOR = re.compile(r"sep=([,;\t])[\r\n]", re.IGNORECASE)  # a first line for Excel


class CsvLayout(NamedTuple):
    """The layout of a file: ``header_lines`` include the lines before the header."""

    separator: str
    names: list[str]
    header_lines: int
    is_empty: bool

    def said_of(self, row: pa_csv.InvalidRow) -> str:
        """Say that a row has another number of cells than the header."""
        number = row.number - self.header_lines
        cells = f"{row.actual_columns} cells, and the header has {row.expected_columns}"
        return f"row {number:,} has {cells}: {quoted(row.text)}"


def layout_of(file: Path, head: bytes, encoding: str) -> CsvLayout:
    """Find the layout of a file from its first `HEAD_BYTES`.

    Raises
    ------
    InvalidData
        If the file is none of texts, is empty, or looks like UTF-16 and should be UTF-8.
    UnicodeError, csv.Error
        If the first bytes are no table in the encoding.
    """
    for mark, kind in OTHER_FILES.items():
        if head.startswith(mark):
            raise not_a_table(file, f"it is {kind} under another name")
    if encoding == UTF_8 and _looks_like_utf_16(head):
        raise in_another_encoding(file, "it looks like UTF-16", "utf-16")
    text = codecs.getincrementaldecoder(encoding)().decode(head).removeprefix("\ufeff")
    told = TOLD_SEPARATOR.match(text)
    separator = told[1] if told else separator_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    if told:
        next(reader)
    names = next((row for row in reader if row), None)
    if names is None:
        raise not_a_table(file, "it is empty")
    lines = reader.line_num
    is_empty = len(head) < HEAD_BYTES and not any(reader)
    return CsvLayout(separator, names, lines, is_empty)


def separator_of(text: str) -> str:
    """Find the separator of a table: the one that is most frequent in the header, outside quotes.

    If the header has none, the table has one column, and the separator is a comma.
    """
    unquoted = re.sub(r'"(?:[^"]|"")*"', "", text.lstrip("\r\n"))
    header = re.split(r"[\r\n]", unquoted, maxsplit=1)[0]
    return max(",;\t", key=header.count)


def not_a_table(file: Path, happened: str) -> InvalidData:
    """Make the error for a file that is not a CSV table."""
    return InvalidData(
        f"{file} cannot be read: {happened.rstrip('.')}.",
        expected="a table with a header and the same number of cells in each row",
        remedy="Correct the file and load it again.",
    )


def _looks_like_utf_16(head: bytes) -> bool:
    """Return whether a file has the mark of UTF-16, or a NUL in more than each fourth place."""
    return head.startswith(MARKS_OF_UTF_16) or head.count(0) * 4 > max(len(head), 1)
