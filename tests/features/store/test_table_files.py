"""Rewrites tables without some rows; all other cells keep their content."""

from __future__ import annotations

import gzip

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.store.table_files import is_table, open_table, rewrite

TABLE = pd.DataFrame(
    {
        "customer_id": ["007", "ann", "bob"],
        "size, cm": ["01", "1.50", ""],  # a comma in the name, and texts that look like numbers
        'the "big" one': ["true", "NA", "2026-11-22"],
        "identifiers": ["card:1 email:a@b.it", "card:2", ""],
    }
)


def rows_of(file):
    return [row for batch in open_table(file).batches() for row in batch.to_pylist()]


@pytest.fixture(params=["csv", "parquet", "csv.gz", "CSV", "PARQUET", "Csv.GZ"])
def file(request, tmp_path):
    path, ending = tmp_path / f"table.{request.param}", request.param.lower()
    if ending == "parquet":
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False, compression="gzip" if ending == "csv.gz" else None)
    return path


def test_every_cell_is_read_as_the_text_it_is(file):
    assert rows_of(file) == TABLE.to_dict("records")


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ({"customer_id": {"ann"}}, [0, 2]),
        ({"customer_id": {"007", "bob"}}, [1]),
        ({"customer_id": {"7"}}, [0, 1, 2]),
        ({"identifiers": {"email:a@b.it", "card:9"}}, [1, 2]),
        ({"customer_id": {"bob"}, "identifiers": {"card:2"}, "decision_id": {"ann"}}, [0]),
    ],
)
def test_the_rows_of_the_forgotten_go_and_the_others_stay_as_they_were(file, gone, left):
    rewrite(file, gone)
    assert rows_of(file) == TABLE.iloc[left].to_dict("records")
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_without_the_forgotten_is_not_touched(file):
    before = file.stat().st_mtime_ns, file.read_bytes()
    rewrite(file, {"customer_id": {"eve"}, "identifiers": {"card:1 email:a@b.it"}})
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


def test_a_parquet_file_keeps_its_types(tmp_path):
    file = tmp_path / "table.parquet"
    TABLE.assign(at=pd.Timestamp("2026-11-22", tz="UTC"), n=[1, 2, 3]).to_parquet(file)
    before = pq.read_schema(file)
    rewrite(file, {"customer_id": {"ann"}})
    assert pq.read_schema(file).equals(before)


def test_the_rest_of_a_compressed_table_stays_compressed(tmp_path):
    file = tmp_path / "table.csv.gz"
    TABLE.to_csv(file, index=False)
    rewrite(file, {"customer_id": {"ann"}})
    assert gzip.decompress(file.read_bytes()).count(b"\n") == 3


def test_the_rows_of_the_forgotten_are_found_beside_semicolons_and_line_breaks(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text('customer_id;note\nann;"a\nb"\nbob;"c\n;d"\n', encoding="utf-8")
    rewrite(file, {"customer_id": {"ann"}})
    assert rows_of(file) == [{"customer_id": "bob", "note": "c\n;d"}]


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.csv", True), ("A.CSV", True), ("a.csv.gz", True), ("A.Parquet", True), ("a.gz", False)],
)
def test_a_table_is_known_by_its_ending_in_letters_of_any_case(tmp_path, name, found):
    assert is_table(tmp_path / name) is found
