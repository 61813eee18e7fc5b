"""Finds separators and headers, and names files that are no texts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from features.errors import InvalidData
from features.store.csv_layout import layout_of, separator_of

FILE = Path("table.csv")


@pytest.mark.parametrize(
    ("header", "separator"),
    [("a,b", ","), ("a;b", ";"), ('"a,b,c";d', ";"), ("a", ","), ("a\tb,c\td", "\t")],
)
def test_the_separator_is_the_most_frequent_one_outside_of_quotes(header, separator):
    assert separator_of(f"{header}\n1;2;3;4\n") == separator


@pytest.mark.parametrize("first", ["sep=;\r\n", "SEP=;\n", "\ufeffsep=;\n"])
def test_a_first_line_for_excel_names_the_separator(first):
    layout = layout_of(FILE, f"{first}a,b,c;d\n1;2\n".encode(), "utf-8")
    assert (layout.separator, layout.names, layout.header_lines) == (";", ["a,b,c", "d"], 2)
    assert not layout.is_empty


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"PK\x03\x04" + b"\0" * 20, "a workbook or a zip file"),
        (gzip.compress(b"a,b", mtime=0), "a gzip file"),
        (b"PAR1", "a parquet file"),
    ],
)
def test_a_file_of_another_kind_is_named(head, kind):
    with pytest.raises(InvalidData, match=f"cannot be read: it is {kind} under another name"):
        layout_of(FILE, head, "utf-8")
