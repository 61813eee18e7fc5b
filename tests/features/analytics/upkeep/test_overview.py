"""Tests the overview of all maps: its counts, and that they are of one version."""

from __future__ import annotations

from features.analytics.nodes import MapNodes
from features.analytics.upkeep.cube import MapCounts
from features.analytics.upkeep.overview import overview, read_overview
from features.business.domain import Domain

COUNTS = MapCounts(
    as_of_us=5,
    version=3,
    how={"ended": 2, "open": 1},
    edges={("START", "visit"): 3, ("visit", "END"): 3},
    gaps={},
    ways={(1, "ended"): 2, (1, "open"): 1, (2, "ended"): 0},
)


def test_each_map_has_its_journeys_transitions_and_ways(toy_domain: Domain):
    nodes = MapNodes(toy_domain)
    found = overview(toy_domain, nodes, lambda name: COUNTS)
    assert found is not None
    assert (found.as_of_us, found.version) == (5, 3)
    assert [one.map for one in found.maps] == [*nodes.maps]
    first = found.maps[0]
    assert (first.journeys.n, first.transitions.n, first.ways) == (3, 6, 1)
    assert {how: one.n for how, one in first.how.items()} == {
        "ended": 2,
        "left": 0,
        "lapsed": 0,
        "open": 1,
    }
    assert first.how["open"].rows.where == {"how": "open"}


def test_counts_of_two_versions_are_read_again(toy_domain: Domain):
    nodes = MapNodes(toy_domain)
    asked: list[str] = []

    def counts_of(name: str) -> MapCounts:
        asked.append(name)
        # A change comes after the first map was read.
        return COUNTS if len(asked) == 1 else COUNTS._replace(version=4)

    found = overview(toy_domain, nodes, counts_of)
    assert found is not None
    assert found.version == 4
    assert len(asked) == 2 * len(nodes.maps)


def test_without_counts_there_is_no_overview(toy_domain: Domain):
    assert overview(toy_domain, MapNodes(toy_domain), lambda name: None) is None


def test_counts_for_another_domain_file_are_not_told_with_its_names(shop):
    found = read_overview(shop.ledger, shop.domain)
    assert found is not None
    assert sum(one.journeys.n for one in found.maps) == len(shop.content()["journeys"])
    other = shop.domain.model_copy(update={"half_lives_days": (5.0,)})
    assert read_overview(shop.ledger, other) is None
