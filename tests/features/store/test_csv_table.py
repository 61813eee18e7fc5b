"""Reads CSV files as people save them, and says of the others what is wrong with them."""

from __future__ import annotations

import gzip
import random

import pytest

from features.errors import InvalidData
from features.store.csv_table import CsvTable

TABLE = [{"customer_id": "müller", "note": "a, b; c"}, {"customer_id": "007", "note": "1.50"}]


@pytest.fixture
def read(tmp_path):
    def rows(content, encoding="utf-8", name="table.csv"):
        (tmp_path / name).write_bytes(content)
        table = CsvTable(tmp_path / name, encoding)
        return [row for batch in table.batches() for row in batch.to_pylist()]

    return rows


def _text(separator, ends="\n"):
    lines = ["customer_id|note", 'müller|"a, b; c"', "007|1.50", ""]
    return ends.join(lines).replace("|", separator)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_line_ends_are_found(read, separator, ends):
    assert read(_text(separator, ends).encode()) == TABLE


@pytest.mark.parametrize(
    "encoding", ["utf-8", "cp1252", "latin-1", "utf-16", "utf-16-le", "mac-roman"]
)
def test_a_table_is_read_in_the_encoding_that_is_named(read, encoding):
    assert read(_text(";").encode(encoding), encoding) == TABLE


@pytest.mark.parametrize("name", ["table.csv.gz", "TABLE.CSV.GZ"])
def test_a_compressed_table_is_read(read, name):
    assert read(gzip.compress(_text(",").encode("utf-8-sig")), name=name) == TABLE


def test_a_byte_order_mark_is_no_part_of_the_first_name(read):
    assert read(_text("\t").encode("utf-8-sig")) == TABLE


def test_a_name_may_have_a_line_break_and_empty_lines_are_no_rows(read):
    assert read(b'\n\nid,"a\nb"\n1,2\n\n3,4\n') == [
        {"id": "1", "a\nb": "2"},
        {"id": "3", "a\nb": "4"},
    ]


@pytest.mark.parametrize("content", [b"a,b", b"a,b\n", b"a,b\n\n"])
def test_a_table_with_a_header_only_has_no_rows(read, content):
    assert read(content) == []


@pytest.mark.parametrize("seed", range(12))
def test_values_may_have_line_breaks_in_a_file_of_several_blocks(read, seed):
    draw, ends = random.Random(seed), ("\n", "\r\n")[seed % 2]
    texts = [
        ends.join("x, ; " * draw.randint(1, 25) for _ in range(draw.randint(1, 8)))
        for _ in range(12_000)
    ]
    content = f"event_id,text{ends}" + "".join(f'e{n},"{one}"{ends}' for n, one in enumerate(texts))
    assert len(content) > 3_000_000
    assert [row["text"] for row in read(content.encode())] == texts


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        (b"", "utf-8", "it is empty. Expected a table with a header"),
        (b"a,b\n1\n", "utf-8", "row 1 has 1 cells, and the header has 2: '1'"),
        (
            b"customer_id\nm\xfcller\n",
            "utf-8",
            "line 2 holds the byte 0xFC, which is not UTF-8 ('müller' in cp1252). Expected a table "
            "in UTF-8, or in the encoding that --encoding names. Save it as 'CSV UTF-8', or pass "
            "its encoding, such as --encoding cp1252.",
        ),
        (b"a\n1\n" * 300_000 + b"\xfc\n", "utf-8", "line 600001 holds the byte 0xFC"),
        ("a\nü\n".encode("utf-16"), "utf-8", "it looks like UTF-16. Expected a table in UTF-8"),
        ("a\nü\n".encode("utf-16-le"), "utf-8", "it looks like UTF-16."),
        (b"a\n\x81\n", "cp1252", "line 2 holds the byte 0x81, which is not CP1252. Expected"),
        (b"a\n1\n", "utf-16", "it does not begin as UTF-16 does. Expected a table in UTF-8"),
    ],
    ids=["empty", "short", "cp1252", "late", "utf-16", "no mark", "undefined byte", "no utf-16"],
)
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(read, content, encoding, said):
    with pytest.raises(InvalidData) as caught:
        read(content, encoding)
    assert "table.csv cannot be read: " in str(caught.value)
    assert said in str(caught.value)


def test_a_compressed_file_that_is_cut_off_is_named(read):
    with pytest.raises(InvalidData, match="cannot be read: Compressed file ended before"):
        read(gzip.compress(b"a\n1\n")[:-9], name="table.csv.gz")


def test_a_row_with_other_cells_than_the_header_is_named_with_its_number(read):
    with pytest.raises(InvalidData, match=r"row 2 has 3 cells, and the header has 2: '3,4,5'"):
        read(b"\na,b\n1,2\n\n3,4,5\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_quote_that_is_open_at_the_end_is_refused_with_its_row(read, name, encoding):
    def put(text):
        content = text.encode(encoding)
        return read(gzip.compress(content) if name.endswith("gz") else content, encoding, name)

    with pytest.raises(
        InvalidData, match=r'row 2, the last one, has a quote \("\) that is not clos'
    ):
        put('a,b\n1,2\n3,"4\n5,6\n')
    for end in ("", "\n", "\r\n\r\n"):
        assert put(f'a,b\n1,2\n3,"4\n5,6"{end}')[-1] == {"a": "3", "b": "4\n5,6"}


def test_a_text_with_a_nul_is_not_taken_for_utf_16(read):
    assert read(b"a,b\n1\0,2\n") == [{"a": "1\0", "b": "2"}]
