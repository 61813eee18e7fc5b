"""Finds the files of tables in a folder, in letters of any case, and names the others."""

from __future__ import annotations

import pytest

from features.errors import InvalidData
from features.ingest.checks.folder import files_of_tables, unread_files


@pytest.fixture
def folder(tmp_path):
    def put(*names):
        for name in names:
            (tmp_path / name).touch()
        return tmp_path

    return put


def test_tables_are_found_in_the_order_in_which_they_are_loaded(folder):
    found = files_of_tables(folder("Outcomes.CSV", "events.csv.gz", "CUSTOMERS.Parquet"))
    names = {table: path.name for table, path in found.items()}
    assert list(names.items()) == [
        ("customers", "CUSTOMERS.Parquet"),
        ("events", "events.csv.gz"),
        ("outcomes", "Outcomes.CSV"),
    ]


@pytest.mark.parametrize(
    "second", ["customers.parquet", "customers.csv.gz", "customers.CSV", "Customers.csv"]
)
def test_two_files_for_one_table_are_refused_by_name(folder, second):
    with pytest.raises(InvalidData) as caught:
        files_of_tables(folder("customers.csv", second))
    assert "holds 2 files for the table customers: " in str(caught.value)
    assert all(name in str(caught.value) for name in ("customers.csv", second))


def test_files_that_look_like_tables_and_are_not_read_are_named(folder):
    path = folder("customers.csv", "event.csv", "orders.xlsx", "decisions.csv.zip", "source.yaml")
    (path / "events").mkdir()
    (path / "notes").mkdir()
    (path / "export").mkdir()
    (path / "export" / "events.csv").touch()
    folder(".events.csv", "README.md", "outcomes.csv.bak")
    assert unread_files(path) == [
        "decisions.csv.zip is not read; did you mean 'decisions'?",
        "event.csv is not read; did you mean 'events'?",
        "events is a folder and is not read",
        "export is a folder and is not read",
        "orders.xlsx is not read",
        "outcomes.csv.bak is not read; did you mean 'outcomes'?",
    ]


def test_a_folder_that_is_not_there_holds_no_tables(tmp_path):
    assert unread_files(tmp_path / "nowhere") == []
    with pytest.raises(InvalidData, match="nowhere holds none of the contract tables"):
        files_of_tables(tmp_path / "nowhere")
