"""Tests the lists behind numbers: their rows, their pages, and queries that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.list_rows import list_count, list_rows
from features.analytics.views.lists import ListQuery
from features.analytics.views.maps.journey_map import journey_map
from features.errors import InvalidRequest
from tests.features.analytics.views.promised_shop import promised_shop
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
LOG: list[tuple[Any, ...]] = [
    ("a", "page", 0.0, "app", {"name": "home"}),
    ("a", "cart", 0.25),
    ("a", "cart", 0.5, "phone"),
    ("b", "cart", 0.0),
    ("b", "done", 1.0),
    ("c", "cart", 0.0),
]


@pytest.fixture
def data() -> Iterator[JourneyData]:
    with journeys_of(small_shop(), LOG, as_of_days=2.0) as opened:
        yield opened


def query(relation: str = "transitions", **where: Any) -> ListQuery:
    return ListQuery(relation=relation, filter=BUYING, where=where)


def test_rows_tell_labels_channels_and_times_as_texts(data: JourneyData) -> None:
    first = list_rows(data, query("steps", node="cart", channel="phone"))
    assert len(first) == 1
    row = first[0]
    assert (row["customer_id"], row["node"], row["next_node"]) == ("a", "cart", "END")
    assert row["at"] == "2023-11-15T10:13:20+00:00"
    assert (row["type"], row["what"], row["seq"], row["gap_s"]) == ("cart", "event", 2, None)
    assert isinstance(row["journey"], str)


def test_a_time_to_the_next_step_is_in_seconds(data: JourneyData) -> None:
    (row,) = list_rows(data, ListQuery(relation="transitions", filter=BUYING, where={"to": "done"}))
    assert row["gap_s"] == pytest.approx(86_400, rel=0.0221)


def test_the_journey_of_a_row_finds_its_steps(data: JourneyData) -> None:
    journey = list_rows(data, query("journeys", entry="home"))[0]["journey"]
    steps = list_rows(data, query("steps", journey=journey))
    assert [row["node"] for row in steps] == ["home", "cart", "cart"]


def test_pages_hold_each_row_once_and_in_one_order(data: JourneyData) -> None:
    whole = list_rows(data, query())
    pages = [row for after in range(0, 12, 2) for row in list_rows(data, query(), 2, after)]
    assert pages == whole
    assert len(whole) == list_count(data, query()) == 9
    assert len({(row["journey"], row["seq"]) for row in whole}) == 9


def test_customers_are_listed_once_with_their_first_journey(data: JourneyData) -> None:
    rows = list_rows(data, query("customers"))
    assert sorted(row["customer_id"] for row in rows) == ["a", "b", "c"]
    assert {row["journeys"] for row in rows} == {1}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (query("secrets"), "relation is 'secrets'. Expected one of "),
        (
            query("journeys", password="x"),
            "where of journeys names 'password'. Expected one of jou",
        ),
        (query("journeys", entry="basement"), "where.entry names 'basement'. Expected one of STA"),
        (query("journeys", how="lost"), "where.how names 'lost'. Expected one of ended, left, lap"),
        (query("journeys", entry_channel="fax"), "where.entry_channel names 'fax'. Expected one"),
        (query("journeys", steps="two"), "where.steps is 'two'. Expected a whole number."),
        (query("journeys", customer_id=7), "where.customer_id is 7. Expected a text."),
        (query("journeys", path="way"), "where.path names 'way'. Expected one of the number of"),
        (
            ListQuery(relation="ping_pong", options={"a": 1}),
            "options are {'a': 1}. Expected no options for this relation.",
        ),
        (
            ListQuery(relation="steps", options={"at_most": 0}),
            "options.at_most is 0: Input should be greater than or equal to 1.",
        ),
        (ListQuery(relation="ways"), "options.shown is {}: Field required."),
        (
            ListQuery(relation="steps", options={"hidden": ["nothing"]}),
            "hidden names 'nothing'. Expected nodes of the map lifecycle: page, cart,",
        ),
    ],
)
def test_a_wrong_query_is_refused_with_field_value_and_remedy(
    data: JourneyData, wrong: ListQuery, says: str
) -> None:
    for ask in (list_count, list_rows):
        with pytest.raises(InvalidRequest) as caught:
            ask(data, wrong)
        assert str(caught.value).startswith(says)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**200])
def test_a_number_that_no_column_holds_is_refused(data: JourneyData, number: int) -> None:
    with pytest.raises(ValidationError, match="where.steps"):
        query("journeys", steps=number)
    for relation, options in (
        ("transitions", {"at_least": abs(number)}),
        ("onward", {"version": abs(number)}),
        ("conformities", {"deviations": abs(number)}),
    ):
        with pytest.raises(InvalidRequest, match="options"):
            list_count(data, ListQuery(relation=relation, filter=BUYING, options=options))


def test_a_time_that_a_property_told_is_a_text() -> None:
    log = [("a", "ordered", 0.0, "app", {"promised_at": "2023-11-16T10:00:00+02:00"})]
    with journeys_of(promised_shop(), [*log, ("b", "ordered", 0.0)], as_of_days=1.0) as opened:
        rows = list_rows(opened, ListQuery(relation="steps", filter=JourneyFilter(map="delivery")))
    told = {row["customer_id"]: row["due_on_time"] for row in rows}
    assert told == {"a": "2023-11-16T08:00:00+00:00", "b": None}


@pytest.mark.parametrize(("limit", "after"), [(0, 0), (1001, 0), (10, -1)])
def test_a_wrong_page_is_refused(data: JourneyData, limit: int, after: int) -> None:
    with pytest.raises(InvalidRequest, match=f"limit is {limit} and after is {after}."):
        list_rows(data, query(), limit, after)


def test_the_drop_off_of_a_step_is_as_long_as_its_list(data: JourneyData) -> None:
    """PostHog issues 32772 and 18958: the number of dropped ones is not the list behind it."""
    found = journey_map(data, BUYING)
    (cart,) = [node for node in found.nodes if node.label == "cart"]
    assert cart.exits.n == 2
    assert [row["customer_id"] for row in list_rows(data, cart.exits.rows)] == ["c", "a"]
