"""Tests numbers and the queries of their lists."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from features.analytics.views.filters import JourneyFilter
from features.analytics.views.lists import ListQuery, Numbers
from features.analytics.views.relations import Relation

BUYING = JourneyFilter(map="buying", how=("open",))
RELATION = Relation("journeys", "SELECT 1", (), {}, "buying")


def test_a_number_names_the_rows_that_were_counted() -> None:
    made = Numbers(RELATION, BUYING, {"shown": 3}).number(7, {"entry": "page", "case": None})
    assert made.n == 7
    assert made.rows == ListQuery(
        relation="journeys",
        filter=BUYING,
        where={"entry": "page", "case": None},
        options={"shown": 3},
    )


def test_a_query_comes_back_from_json_as_it_was() -> None:
    query = Numbers(RELATION, BUYING).number(0, {"path": "12345678901234567890", "steps": 1}).rows
    assert ListQuery.model_validate_json(query.model_dump_json()) == query


def test_a_query_with_another_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ListQuery.model_validate({"relation": "journeys", "sql": "DROP TABLE journeys"})
