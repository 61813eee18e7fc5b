"""Tests of the counts of journeys: by hand, their difference, and as they are read."""

from __future__ import annotations

import pytest

from features.analytics.nodes import MapNodes
from features.analytics.tables import HOWS
from features.analytics.upkeep import cube as module
from features.analytics.upkeep.cube import (
    add_cells,
    cells_of,
    cube_counts,
    delete_other_builds,
    difference,
    next_build,
    read_cells,
    write_cells,
)
from tests.features.live import SHOP
from tests.journey_logs import journeys_of
from tests.kept_journeys import counted

pytestmark = pytest.mark.databases("sqlite", "postgresql")
LOG = [
    ("c1", "view", 0.0),
    ("c1", "view", 0.5, "till"),
    ("c1", "order", 1.0),
    ("c1", "complaint", 2.0, "till"),
    ("c2", "view", 0.25),
    ("c2", "order", 3.0, "till"),
    ("c2", "order", 3.0),
]


def as_dict(cells):
    return {tuple(row[name] for name in module.KEYS): row["n"] for row in cells.to_pylist()}


def tables_of(data):
    return data.table("SELECT * FROM journeys"), data.table("SELECT * FROM steps")


def test_cells_are_those_of_a_count_in_python():
    with journeys_of(SHOP, LOG) as data:
        assert as_dict(cells_of(data)) == counted(data)


def test_the_difference_leads_from_one_count_to_the_other(ledger):
    with journeys_of(SHOP, LOG) as one, journeys_of(SHOP, LOG[1:5]) as other:
        before, after = cells_of(one), cells_of(other)
        change = difference(tables_of(one), tables_of(other))
    write_cells(ledger, 1, before)
    assert as_dict(ledger.read(lambda c: read_cells(c, 1))) == as_dict(before)
    ledger.write_now(lambda c: add_cells(c, 1, change))
    assert as_dict(ledger.read(lambda c: read_cells(c, 1))) == as_dict(after)
    assert 0 not in as_dict(change).values()


def test_no_change_is_no_difference():
    with journeys_of(SHOP, LOG) as one:
        assert len(difference(tables_of(one), tables_of(one))) == 0


def test_builds_do_not_meet(ledger, monkeypatch):
    monkeypatch.setattr(module, "CELLS_AT_ONCE", 5)
    assert ledger.read(next_build) == 1
    with journeys_of(SHOP, LOG) as data:
        cells = cells_of(data)
    for build in (1, 2, 3):
        write_cells(ledger, build, cells)
    assert ledger.read(next_build) == 4
    delete_other_builds(ledger, 2)
    assert [len(ledger.read(lambda c, b=b: read_cells(c, b))) for b in (1, 2, 3)] == [
        *(0, len(cells), 0)
    ]
    delete_other_builds(ledger, None)
    assert len(ledger.read(lambda c: read_cells(c, 2))) == 0


def test_counts_of_a_map_are_those_of_its_journeys(shop):
    nodes = MapNodes(SHOP)
    found = cube_counts(shop.ledger, nodes, "support")
    assert found.how == {"open": 3}
    assert found.edges == {("START", "complaint"): 3, ("complaint", "END"): 3}
    assert (found.gaps, sum(found.ways.values())) == ({}, 3)
    bought = cube_counts(shop.ledger, nodes, "purchase")
    assert bought.how == {"ended": 3, "open": 3}
    assert bought.edges["view", "order"] == sum(bought.gaps["view", "order"].values()) == 3
    assert set(bought.how) <= set(HOWS)
    assert (bought.version, bought.as_of_us) == (shop.state.version, shop.state.as_of_us)


def test_without_a_build_there_are_no_counts(ledger):
    assert cube_counts(ledger, MapNodes(SHOP), "purchase") is None
