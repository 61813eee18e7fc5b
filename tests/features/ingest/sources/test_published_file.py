"""Reads a published file: cells stay texts, and a wrong file is named with the remedy."""

from __future__ import annotations

import gzip

import pytest

from features.errors import InvalidData
from features.ingest.sources.published_file import read_published, wrong_file


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_cells_stay_the_texts_that_they_are_and_other_columns_are_left_out(tmp_path, name):
    content = b"id,note,more\n007,NA,1\n1e3,,2\n"
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    table = read_published(file, ("note", "id"), "telco")
    assert table.to_dict("list") == {"note": ["NA", ""], "id": ["007", "1e3"]}


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (None, "does not exist"),
        (b"id\n", "has no rows"),
        (b"other\n1\n", "has no column 'id'"),
        (b"", r"cannot be read \(No columns"),
        (b'id\n"1\n', r"cannot be read \("),
    ],
    ids=["missing", "no rows", "no column", "empty", "no table"],
)
def test_a_wrong_file_is_named_with_the_remedy(tmp_path, content, wrong):
    file = tmp_path / "table.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidData, match=wrong) as caught:
        read_published(file, ("id",), "telco")
    assert str(caught.value).startswith(str(file))
    assert "Name it: 'nba import telco --file PATH'." in str(caught.value)


def test_a_file_that_is_not_compressed_as_its_name_says_cannot_be_read(tmp_path):
    file = tmp_path / "table.csv.gz"
    file.write_bytes(b"id\n1\n")
    with pytest.raises(InvalidData, match="cannot be read"):
        read_published(file, ("id",), "helpdesk")


def test_an_importer_says_itself_what_is_wrong(tmp_path):
    error = wrong_file(tmp_path / "a.csv", "has a bad cell", "helpdesk")
    assert "a.csv has a bad cell. Expected the published table of helpdesk." in str(error)
