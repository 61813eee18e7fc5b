"""Places of nodes: stages as columns, lanes as rows, and the expected way in the first row."""

from __future__ import annotations

from typing import Any

from features.analytics.pictures.map_layout import AWAY, DECISIONS, OTHERS, lay_out
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import ListQuery, Number
from features.analytics.views.maps.journey_map import MapNode
from features.analytics.views.relations import OTHER_STEPS_LABEL
from features.business.domain import Domain
from tests.journey_pictures import DOMAIN, desk

NONE = Number(0, ListQuery(relation="steps", filter=JourneyFilter(map="support")))


def node(label: str, stage: str | None = "use", lane: str | None = None) -> MapNode:
    return MapNode(label, stage, lane, (), NONE, NONE, NONE, NONE, NONE, NONE)


def test_the_expected_way_is_the_first_row_in_its_order():
    nodes = [node("waits"), node("taken"), node("solved"), node("thanked", "advocacy")]
    found = lay_out(desk(), "support", nodes)
    assert found.way == ("taken", "solved", "thanked")
    assert found.places == {
        "taken": (0, 0),
        "solved": (1, 0),
        "waits": (0, 1),
        "thanked": (2, 0),
    }


def test_stages_are_columns_in_the_order_of_the_domain_with_other_steps_beside_them():
    labels = [
        node("silent", None),
        node("shown", None),
        node("thanked", "advocacy"),
        node("taken"),
        node(OTHER_STEPS_LABEL, None),
    ]
    found = lay_out(desk(), "lifecycle", labels)
    titles = [one.title for one in found.stages]
    assert titles == [DECISIONS, "use", "advocacy", OTHERS, AWAY]
    assert [one.first for one in found.stages] == [0, 1, 2, 3, 4] and found.columns == 5
    assert {row for _, row in found.places.values()} == {0}


def test_lanes_are_rows_that_no_other_lane_has():
    labels = [node(f"a{at}", lane="web") for at in range(9)]
    labels += [node(f"b{at}", lane="phone") for at in range(2)]
    found = lay_out(desk(), "lifecycle", labels)
    assert [(one.title, one.first, one.size) for one in found.lanes] == [
        ("phone", 0, 1),
        ("web", 1, 3),
    ]
    assert found.places["b1"] == (1, 0) and found.places["a8"] == (2, 3) and found.rows == 4


def test_each_node_has_a_place_of_its_own():
    stages = [None, "use", "advocacy", "awareness"]
    labels = [node(f"n{at}", stages[at % 4], ["web", "phone", None][at % 3]) for at in range(30)]
    places = lay_out(desk(), "lifecycle", labels).places
    assert len(places) == len(set(places.values())) == 30


def test_a_map_without_nodes_has_a_layout():
    found = lay_out(desk(), "support", [])
    assert (found.columns, found.rows, found.places) == (1, 1, {})


def test_the_way_may_name_types_of_event():
    content: dict[str, Any] = {**DOMAIN, "journeys": {"support": {"expected": {"version": 1}}}}
    content["journeys"]["support"]["expected"]["way"] = ["thanked", "activity"]
    nodes = [MapNode("first", "use", None, ("activity",), *[NONE] * 6), node("second")]
    assert lay_out(Domain.model_validate(content), "support", nodes[::-1]).places == {
        "first": (0, 0),
        "second": (0, 1),
    }
