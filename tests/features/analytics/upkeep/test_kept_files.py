"""Tests of the files of journeys: some customers of them, those who are due, merging."""

from __future__ import annotations

from dataclasses import replace

from features.analytics.upkeep.kept_files import (
    due_customers,
    merged_base,
    merged_deltas,
    remove_others,
    rows_of,
    write_pair,
)
from features.analytics.upkeep.kept_state import KeptState
from tests.features.live import SHOP
from tests.journey_logs import at_us, journeys_of
from tests.kept_journeys import rows_of as all_rows

LOG = [("c1", "complaint", 0.0), ("c2", "complaint", 1.0), ("c3", "complaint", 1.0)]
LATER = [("c2", "complaint", 1.0), ("c2", "view", 1.5), ("c4", "view", 1.75)]


def kept(folder):
    """A base of c1 to c3, and a delta that adds to c2, takes c3 away, and brings c4."""
    with journeys_of(SHOP, LOG, as_of_days=2) as data:
        write_pair(folder, "build-1/base", ["c1", "c2", "c3"], rows_of(data, ["c1", "c2", "c3"]))
    with journeys_of(SHOP, LATER, as_of_days=2) as data:
        rows = rows_of(data, ["c2", "c3", "c4"])
        write_pair(folder, "build-1/delta", ["c2", "c3", "c4"], rows)
    return KeptState("", 1, ("build-1/base",), ("build-1/delta",), (), at_us(2), 1, 0, "", 3, 3)


def content(state, folder):
    with state.opened(SHOP, folder) as data:
        return all_rows(data)


def test_some_customers_are_read(tmp_path):
    state = kept(tmp_path)
    with state.opened(SHOP, tmp_path) as data:
        journeys, steps = rows_of(data, {"c2", "c3"})
    assert {*journeys["customer_id"].to_pylist(), *steps["customer_id"].to_pylist()} == {"c2"}
    assert len(steps) == 4  # the complaint and the look, each on its map and on that of the life


def test_merging_keeps_all_rows(tmp_path):
    state = kept(tmp_path)
    before = content(state, tmp_path)
    assert {row[1] for row in before["journeys"]} == {"c1", "c2", "c4"}
    merged_deltas(state, SHOP, tmp_path, "build-1/merged")
    assert content(replace(state, deltas=("build-1/merged",)), tmp_path) == before
    names = tuple(merged_base(state, SHOP, tmp_path, "build-1/new"))
    assert len(names) == 2  # c4 was in no file of the base
    merged = replace(state, base=names, deltas=())
    assert content(merged, tmp_path) == before
    (tmp_path / "known").mkdir()
    remove_others(tmp_path, names)
    assert content(merged, tmp_path) == before
    assert len([*tmp_path.glob("build-1/*")]) == 4
    remove_others(tmp_path, ())
    assert [one.name for one in tmp_path.iterdir()] == ["known"]


def test_customers_are_due_in_the_order_of_their_times():
    # By hand: silent after 28 days, and complaints lapse after 30.
    with journeys_of(SHOP, LOG, as_of_days=2) as data:
        assert due_customers(data, at_us(27.9), 5) == ([], at_us(27.9))
        assert due_customers(data, at_us(28.5), 5) == (["c1"], at_us(28.5))
        found, until_us = due_customers(data, at_us(40), 1)
        assert (found, until_us) == (["c1"], at_us(28))
        found, until_us = due_customers(data, at_us(40), 2)
        assert (sorted(found), until_us) == (["c1", "c2", "c3"], at_us(29))


def test_time_goes_on_though_many_are_due_at_the_moment_of_the_data():
    with journeys_of(SHOP, LOG, as_of_days=31) as data:  # c2 and c3 lapse after this very moment
        found, until_us = due_customers(data, at_us(40), 1)
        assert (sorted(found), until_us) == (["c2", "c3"], at_us(31) + 1)
