"""Rewrites tables without some rows; all other cells keep their content."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.store.table_files import open_table, rewrite

TABLE = pd.DataFrame(
    {
        "customer_id": ["007", "ann", "bob"],
        "size, cm": ["01", "1.50", ""],  # a comma in the name, and texts that look like numbers
        'the "big" one': ["true", "NA", "2026-11-22"],
        "identifiers": ["card:1 email:a@b.it", "card:2", ""],
    }
)


@pytest.fixture(params=["csv", "parquet"])
def file(request, tmp_path):
    path = tmp_path / f"table.{request.param}"
    TABLE.to_csv(path, index=False) if request.param == "csv" else TABLE.to_parquet(path)
    return path


def test_every_cell_is_read_as_the_text_it_is(file):
    assert open_table(file).to_table().to_pylist() == TABLE.to_dict("records")


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
    assert open_table(file).to_table().to_pylist() == TABLE.iloc[left].to_dict("records")
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
