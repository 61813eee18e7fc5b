"""Tests breakdowns: as of the start of each journey, unknown is a part, and parts add up."""

from __future__ import annotations

from typing import Any

import pytest

from features.analytics.cut.customer_facts import CustomerFacts
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_rows
from features.analytics.views.maps.breakdowns import Breakdown, breakdown
from features.analytics.views.maps.channels import channels
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.ways import ways
from features.customers.attribute_history import EVER, AttributeVersion
from features.errors import InvalidRequest
from tests.features.analytics.views.random_logs import as_json
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, journeys_of

BUYING = JourneyFilter(map="buying")
DOMAIN = small_shop(
    attributes={
        "region": {"type": "category", "values": ["north", "south", "west"]},
        "plan": {"type": "category", "values": ["basic", "plus"]},
    },
    personas={"southern": {"when": "region == 'south'"}},
)
NORTH = AttributeVersion(EVER, {"region": "north"})
FACTS = {
    "a": CustomerFacts("acme", [NORTH, AttributeVersion(at_us(5), {"region": "south"})]),
    "b": CustomerFacts("acme", [NORTH]),
    "c": CustomerFacts(None, [AttributeVersion(EVER, {"region": "west", "plan": "plus"})]),
}
LOG: list[tuple[Any, ...]] = [
    ("a", "cart", 0.0),
    ("a", "done", 2.0),
    ("a", "cart", 6.0, "phone"),
    ("b", "cart", 0.0),
    ("b", "done", 4.0),
    ("c", "cart", 4.0),
    ("d", "cart", 6.0),
]


def of_log(by: str, limit: int = 50, **more: Any) -> Breakdown:
    with journeys_of(DOMAIN, LOG, as_of_days=7.0, facts=FACTS, **more) as data:
        return breakdown(data, BUYING, by, limit)


def parts(found: Breakdown) -> list[tuple[str | None, int]]:
    return [(part.value, part.journeys.n) for part in found.parts]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("region", [("north", 2), ("south", 1), ("west", 1), (None, 1)]),
        ("plan", [(None, 4), ("plus", 1)]),
        ("persona", [("others", 4), ("southern", 1)]),
        ("account", [("acme", 3), (None, 2)]),
        ("entry_channel", [("app", 4), ("phone", 1)]),
        ("start_day", [("2023-11-14", 2), ("2023-11-18", 1), ("2023-11-20", 2)]),
    ],
)
def test_parts_add_up_and_unknown_is_one(by: str, expected: list[tuple[str, int]]) -> None:
    """A change of an attribute moves no journey that began before."""
    found = of_log(by)
    assert parts(found) == expected
    assert found.journeys.n == sum(n for _, n in expected) == 5
    assert (found.distinct, found.others.n) == (len(expected), 0)


def test_a_part_says_how_its_journeys_ended_and_how_long_they_took() -> None:
    north = of_log("region").parts[0]
    assert {how: number.n for how, number in north.how.items() if number.n} == {"ended": 2}
    assert north.share == 2 / 5
    assert north.median_s == pytest.approx(2 * 86_400, rel=0.0221)
    assert north.p90_s == pytest.approx(4 * 86_400, rel=0.0221)


def test_values_beyond_the_most_frequent_are_counted_and_listed() -> None:
    with journeys_of(DOMAIN, LOG, as_of_days=7.0, facts=FACTS) as data:
        found = breakdown(data, BUYING, "region", limit=1)
        assert parts(found) == [("north", 2)]
        assert (found.others.n, found.distinct) == (3, 4)
        listed = list_rows(data, found.others.rows)
    assert {(row["customer_id"], row["a_region"]) for row in listed} == {
        ("a", "south"),
        ("c", "west"),
        ("d", None),
    }


def test_of_values_that_are_equally_frequent_the_first_by_name_are_told() -> None:
    names = ["e", "c", "a", "d", "b", "f"]
    facts = {name: CustomerFacts(f"account {name}") for name in names}
    log = [(name, "cart", float(place)) for place, name in enumerate(names)]
    with journeys_of(DOMAIN, log, as_of_days=7.0, facts=facts) as data:
        found = breakdown(data, BUYING, "account", limit=3)
    assert parts(found) == [("account a", 1), ("account b", 1), ("account c", 1)]


def test_the_part_of_unknown_is_listed_like_any_other() -> None:
    with journeys_of(DOMAIN, LOG, as_of_days=7.0, facts=FACTS) as data:
        (unknown,) = (part for part in breakdown(data, BUYING, "region").parts if not part.value)
        assert [row["customer_id"] for row in list_rows(data, unknown.journeys.rows)] == ["d"]


def test_a_merge_restates_both_and_an_unlink_restores_every_byte() -> None:
    """PostHog issue 22731: a merged person is counted twice."""

    def views(log: list[tuple[Any, ...]]) -> list[str]:
        with journeys_of(DOMAIN, log, as_of_days=7.0, facts=FACTS) as data:
            made = breakdown(data, BUYING, "region"), ways(data, BUYING), journey_map(data, BUYING)
            return [as_json(one) for one in (*made, channels(data, BUYING))]

    merged = [("a" if row[0] == "d" else row[0], *row[1:]) for row in LOG]
    with journeys_of(DOMAIN, merged, as_of_days=7.0, facts=FACTS) as data:
        found = breakdown(data, BUYING, "region")
        customers = journey_map(data, BUYING).customers.n
    # The cart of d is a step of the journey that a began on the same day.
    assert parts(found) == [("north", 2), ("south", 1), ("west", 1)]
    assert (found.journeys.n, customers) == (4, 3)
    before = views(LOG)
    assert views(merged) != before
    assert views(LOG) == before


def test_an_unknown_column_or_limit_is_refused() -> None:
    says = "by is 'age'. Expected one of persona, account, entry_channel, start_day, region, plan."
    with pytest.raises(InvalidRequest, match=says):
        of_log("age")
    with pytest.raises(InvalidRequest, match="options.shown is 401"):
        of_log("region", limit=401)
