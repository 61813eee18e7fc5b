"""Pairs of files have the same names for the same customers, and are written whole."""

from __future__ import annotations

import pyarrow.parquet as pq

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.journey_files import (
    PairWriter,
    pair_at,
    pairs_in,
    write_delta,
    write_files,
)
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, pasts_of

SHOP = small_shop()
LOG = [(who, kind, day) for who in "ab" for day, kind in enumerate(["cart", "paid", "done"])]


def tables(who):
    events = pasts_of(SHOP, LOG)[who]
    return CustomerCutter(SHOP).tables(CustomerPasts(events, {}, {}), at_us(9))


def test_a_delta_names_its_customers_beside_its_files(tmp_path):
    pair = write_delta(tmp_path / "new", "00007", ["z", "a"], *tables("a"))
    assert pairs_in(tmp_path / "new") == [pair] == [pair_at(tmp_path / "new", "00007")]
    assert pq.read_table(pair.customers)["customer_id"].to_pylist() == ["a", "z"]
    assert sorted(one.name for one in (tmp_path / "new").iterdir()) == [
        *("00007.customers.parquet", "00007.journeys.parquet", "00007.steps.parquet"),
    ]
    assert pair.bytes == sum(one.stat().st_size for one in pair)


def test_parts_that_are_written_one_after_another_are_one_pair(tmp_path):
    pair = pair_at(tmp_path, "base")
    writer = PairWriter(pair, *(one.schema for one in tables("a")))
    for who in "ab":
        writer.write(*tables(who))
    writer.close()
    assert (writer.customers, writer.steps_n) == ({"a", "b"}, 12)
    journeys = pq.read_table(pair.journeys)
    assert journeys["customer_id"].to_pylist() == [*"aabb"]
    assert pq.ParquetFile(pair.steps).num_row_groups == 2
    write_files(pair_at(tmp_path, "alone"), *tables("a"))
    assert pq.read_table(pair_at(tmp_path, "alone").journeys).equals(journeys.slice(0, 2))
    assert len(pairs_in(tmp_path)) == 2
