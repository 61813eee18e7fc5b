from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.analytics.nodes import MapNodes
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.promised.activations import activations
from features.analytics.views.promised.conformities import conformities, way_steps, ways_of
from features.business.journey_rules.kinds import Expected
from features.errors import InvalidRequest
from tests.features.analytics.views.promised_shop import (
    SHOP,
    Log,
    cut_by_hand,
    opened,
    promised_shop,
    random_log,
)
from tests.journey_logs import at_us, journeys_of

DELIVERY = JourneyFilter(map="delivery")
LATE, SHIPPED = {"news": "late"}, {"news": "shipped"}
# From hour 26 on, the way is ordered, shipped; before it is ordered, late?, delivered.
LOG: Log = [
    ("c1", "ordered", 0.0, "app", {}),
    ("c1", "message", 1.0, "app", LATE),
    ("c1", "delivered", 2.0, "app", {}),
    ("c2", "ordered", 0.0, "app", {}),
    ("c2", "call", 1.0, "app", {}),
    ("c3", "delivered", 0.5, "app", {}),
    ("c4", "ordered", 0.0, "app", {}),  # lapses after six days
    ("c5", "ordered", 1.5, "app", {}),
    ("c5", "message", 9.0, "app", SHIPPED),  # of a new journey
    ("c6", "ordered", 7.0, "app", {}),
]


def test_a_row_says_how_a_journey_went() -> None:
    with opened(LOG, 10.0) as data:
        rows = conformities(data, DELIVERY, {}).rows(data, {}, 100)

    columns = ("customer_id", "version", "state", "deviation", "expected", "found", "at_us")
    assert sorted(tuple(row[name] for name in columns) for row in rows) == [
        ("c1", 1, "conforming", None, None, None, at_us(2.0)),
        ("c2", 1, "deviating", "extra", "delivered", "call", at_us(1.0)),
        ("c3", 1, "deviating", "skipped", "ordered", "delivered", at_us(0.5)),
        ("c4", 1, "deviating", "stopped", "delivered", None, at_us(6.0)),
        ("c5", 2, "deviating", "skipped", "ordered", "shipped", at_us(9.0)),
        ("c5", 2, "deviating", "stopped", "shipped", None, at_us(7.5)),
        ("c6", 2, "on_the_way", None, None, None, at_us(7.0)),
    ]


def test_a_version_is_in_force_from_its_first_instant() -> None:
    """The second is from 2023-11-16T00:00Z on, which is 92,800 seconds after day 0."""
    log: Log = [
        ("c1", "ordered", 92_799 / 86_400, "app", {}),
        ("c2", "ordered", 92_800 / 86_400, "app", {}),
    ]
    with opened(log, 3.0) as data:
        for relation in (conformities(data, DELIVERY, {}), activations(data, DELIVERY)):
            found = set(relation.counts(data, ["customer_id", "version"], "count(*) > 0"))
            assert found == {("c1", 1, True), ("c2", 2, True)}


def test_each_journey_with_a_way_is_one_row() -> None:
    log = random_log(np.random.default_rng(5), customers=40)
    with opened(log, 9.0) as data:
        rows = conformities(data, DELIVERY, {}).rows(data, {}, 1000)

    assert sorted(row["customer_id"] for row in rows) == [one for one, _ in cut_by_hand(log, 9.0)]


def test_all_but_the_most_frequent_deviations_are_others() -> None:
    log: Log = [(f"c{n}", "call", 0.0, "app", {}) for n in range(3)]
    log += [("d1", "delivered", 0.0, "app", {}), ("e1", "ordered", 0.0, "app", {})]
    with opened(log, 1.0) as data:
        rows = conformities(data, DELIVERY, {"deviations": 1}).rows(data, {}, 100)

    found = {row["customer_id"]: row["is_other"] for row in rows}
    assert found == {"c0": 0, "c1": 0, "c2": 0, "d1": 1, "e1": None}


@pytest.mark.parametrize(
    "options", [{"deviations": -1}, {"deviations": "3"}, {"most": 3}, {"deviations": True}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with opened(LOG, 1.0) as data, pytest.raises(InvalidRequest, match="a number of 0 or more"):
        conformities(data, DELIVERY, options)


def test_a_question_mark_makes_a_step_optional_unless_it_is_part_of_a_name() -> None:
    expected = Expected(version=1, way=("ordered", "late?", "delivered"))
    named = SHOP.model_dump()
    named["journeys"]["delivery"]["map"] = {"node": "news", "names": {"late": "late?"}}
    named["journeys"]["delivery"]["expected"] = ()
    nodes = MapNodes(promised_shop()), MapNodes(type(SHOP).model_validate(named))
    found = [
        [(one.name, one.optional) for one in way_steps(each, "delivery", expected)]
        for each in nodes
    ]

    assert found[0] == [("ordered", False), ("late", True), ("delivered", False)]
    assert found[1] == [("ordered", False), ("late?", False), ("delivered", False)]


def test_versions_without_a_way_judge_no_journey() -> None:
    domain = promised_shop(
        [
            {"version": 1, "way": ["ordered"]},
            {"version": 2, "since": "2023-11-16", "promises": {"quiet": {"never": "call"}}},
        ]
    )
    with journeys_of(domain, [("c1", "ordered", 0.0), ("c2", "ordered", 3.0)]) as data:
        rows = conformities(data, DELIVERY, {}).rows(data, {}, 100)

    assert [row["customer_id"] for row in rows] == ["c1"]
    assert [one.version for one in ways_of(domain, "delivery")] == [1]
    assert ways_of(domain, "leaving") == ways_of(domain, "lifecycle") == []
