"""Names encodings, and the first byte that an encoding does not have."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from features.errors import InvalidSetting
from features.store.text_encoding import checked_encoding, first_wrong_byte, in_another_encoding


@pytest.mark.parametrize(
    ("name", "found"),
    [("UTF8", "utf-8"), ("utf-8-sig", "utf-8"), ("windows-1252", "cp1252"), ("UTF-16", "utf-16")],
)
def test_an_encoding_may_be_spelled_as_python_knows_it(name, found):
    assert checked_encoding(name) == found


@pytest.mark.parametrize("name", ["ansi text", "hex", "zlib", "undefined", "", "a\0b"])
def test_another_name_is_refused(name):
    with pytest.raises(InvalidSetting, match="^encoding is .*Expected an encoding that Python kn"):
        checked_encoding(name)


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        ("a\nmüller\n".encode(), "utf-8", None),
        (b"a\nb;m\xfcller;c\n", "utf-8", "line 2 holds the byte 0xFC, .*'müller' in cp1252"),
        (b"a" * (1 << 20) + b"\n\xe9", "utf-8", "line 2 holds the byte 0xE9"),
        ("ü".encode()[:1], "utf-8", "line 1 holds the byte 0xC3"),
        (b"a\n\x81", "cp1252", "^line 2 holds the byte 0x81, which is not CP1252$"),
    ],
)
def test_the_first_wrong_byte_is_named_with_its_line(content, encoding, said):
    found = first_wrong_byte(io.BytesIO(content), encoding)
    assert found is None if said is None else re.search(said, found)


def test_the_remedy_names_both_ways_out():
    said = str(in_another_encoding(Path("a.csv"), "it looks like UTF-16", "utf-16"))
    assert said == (
        "a.csv cannot be read: it looks like UTF-16. Expected a table in UTF-8, or in the encoding "
        "that --encoding names. Save it as 'CSV UTF-8', or pass its encoding, such as --encoding "
        "utf-16."
    )
