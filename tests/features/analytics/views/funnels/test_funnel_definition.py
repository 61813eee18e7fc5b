"""Tests what a funnel may be, and which steps of a map its names mean."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import (
    FunnelDefinition,
    FunnelStepRule,
    Matches,
    matches,
    stages_funnel,
    way_funnel,
)
from features.analytics.views.funnels.funnels import funnel
from features.analytics.views.list_rows import list_count
from features.errors import InvalidRequest
from tests.features.analytics.views.small_shop import event, small_shop
from tests.journey_logs import journeys_of

LOG = [
    ("a", "page", 0.0, "app", {"name": "home"}),
    ("a", "page", 1.0, "app", {"name": "offer"}),
    ("a", "page", 2.0),
    ("a", "cart", 3.0),
    ("a", "paid", 4.0),
]


def rows_of(data: JourneyData, **rule: Any) -> list[int]:
    """Return the places of the steps of the log that a rule means."""
    columns = data.columns("SELECT node, type FROM steps WHERE map = 0 ORDER BY seq")
    found = matches(data, "buying", "steps.0", FunnelStepRule(**rule))
    return found.rows(columns["node"], columns["type"]).tolist()


def test_a_step_is_named_by_its_node_its_type_or_its_stage() -> None:
    with journeys_of(small_shop(), LOG) as data:
        assert rows_of(data, step="home") == [0]
        assert rows_of(data, step="page") == [0, 1, 2]
        assert rows_of(data, stage="consideration") == [3]
        assert rows_of(data, stage="interest") == [0, 1, 2]


def test_a_type_that_shares_a_node_with_another_is_found_by_its_type() -> None:
    shop = small_shop(
        journeys={
            "buying": {"map": {"node": "name", "names": {"cart": "basket", "coupon": "basket"}}}
        }
    )
    with journeys_of(shop, [*LOG, ("a", "coupon", 5.0)]) as data:
        found = matches(data, "buying", "steps.0", FunnelStepRule(step="cart"))
        assert found.types == {data.nodes.type_code("cart")}
        assert rows_of(data, step="cart") == [3]
        assert rows_of(data, step="basket") == [3, 5]


def test_either_of_several_names() -> None:
    both = Matches.either(
        [Matches(frozenset([1]), frozenset()), Matches(frozenset([2]), frozenset([7]))]
    )
    assert both == Matches(frozenset([1, 2]), frozenset([7]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"steps": []}, "at least 1 item"),
        ({"steps": [{"step": "cart", "optional": True}]}, "at least one"),
        ({"steps": [{"step": "a"}, {"step": "b", "optional": True}, {"step": "b"}]}, "has another"),
        ({"steps": [{"step": "a", "stage": "use"}]}, "a 'step' or a 'stage'"),
        ({"steps": [{}]}, "a 'step' or a 'stage'"),
        ({"steps": [{"step": "a", "within_hours": 1, "within_days": 1}]}, "not both"),
        ({"steps": [{"step": "a", "within_days": 0}]}, "greater than 0"),
    ],
)
def test_funnels_that_make_no_sense_are_refused(content: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        FunnelDefinition.model_validate(content)


def test_an_unknown_step_or_stage_is_named_with_the_known_ones() -> None:
    with journeys_of(small_shop(), LOG) as data:
        for field, content in (
            ("steps.0", {"steps": [{"step": "asked"}]}),  # of another kind
            ("exclude.0", {"steps": [{"step": "cart"}], "exclude": ["asked"]}),
        ):
            definition = FunnelDefinition.model_validate(content)
            with pytest.raises(
                InvalidRequest, match=f"{field} is 'asked'.*a step of the map 'buying': home"
            ):
                funnel(data, JourneyFilter(map="buying"), definition)
        with pytest.raises(InvalidRequest, match="a stage of the map 'buying': interest, cons"):
            matches(data, "buying", "steps.0", FunnelStepRule(stage="awareness"))


def test_the_funnel_over_stages_tells_those_that_nobody_reached_with_0() -> None:
    log = [row for row in LOG if row[1] != "cart"]
    with journeys_of(small_shop(), log) as data:
        found = stages_funnel(data, "buying")
        assert [(rule.name, rule.optional) for rule in found.steps] == [
            ("interest", False),
            ("consideration", True),
            ("action", False),
            ("use", True),
        ]
        steps = funnel(data, JourneyFilter(map="buying"), found).steps
        assert [step.reached.n for step in steps] == [1, 0, 1, 0]
        assert [list_count(data, step.reached.rows) for step in steps] == [1, 0, 1, 0]


def test_a_stage_is_reached_by_a_type_that_is_not_the_first_of_its_node() -> None:
    names = {"cart": "basket", "paid": "basket"}  # of two stages
    shop = small_shop(journeys={"buying": {"map": {"node": "name", "names": names}}})
    with journeys_of(shop, [("a", "page", 0.0), ("a", "paid", 1.0)]) as data:
        rules = stages_funnel(data, "buying").steps
        assert [rule.name for rule in rules if not rule.optional] == ["interest", "action"]


def test_a_funnel_has_as_many_steps_as_there_may_be_stages() -> None:
    stages = [f"stage_{place}" for place in range(50)]
    events = {f"event_{place}": event("buying", one) for place, one in enumerate(stages)}
    shop = small_shop(stages=stages, events=events, journeys={}, churn=None)
    with journeys_of(shop, [("a", f"event_{place}", place) for place in range(50)]) as data:
        steps = funnel(data, JourneyFilter(map="buying"), stages_funnel(data, "buying")).steps
        assert [(step.name, step.reached.n) for step in steps] == [(one, 1) for one in stages]


def test_the_funnel_over_stages_without_journeys_has_those_of_the_map() -> None:
    with journeys_of(small_shop(), []) as data:
        names = [rule.name for rule in stages_funnel(data, "buying").steps]
        assert names == ["interest", "consideration", "action", "use"]
        found = funnel(data, JourneyFilter(map="buying"), stages_funnel(data, "buying"))
        assert [step.reached.n for step in found.steps] == [0, 0, 0, 0]


def test_the_funnel_along_the_expected_way_has_its_optional_steps() -> None:
    way = {"expected": {"version": 1, "way": ["page", "coupon?", "paid"]}}
    with journeys_of(small_shop(journeys={"buying": way}), LOG) as data:
        (expected,) = data.domain.journey_kinds["buying"].expected
        found = [(rule.name, rule.optional) for rule in way_funnel(data, "buying", expected).steps]
    assert found == [("page", False), ("coupon", True), ("paid", False)]
