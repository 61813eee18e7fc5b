"""Tests the request of `/v1/journeys`: which fields belong to which view."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.contract.journeys import JourneysRequest


def test_the_page_of_the_lifecycle_is_what_is_asked_without_more():
    asked = JourneysRequest()
    assert (asked.view, asked.filter.map, asked.limit) == ("page", "lifecycle", 20)


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ({"view": "breakdown"}, "by"),
        ({"view": "times"}, "times"),
        ({"view": "compare"}, "against"),
        ({"view": "list"}, "list"),
    ],
)
def test_a_view_names_the_field_that_it_lacks(content, missing):
    with pytest.raises(ValidationError, match=f"{missing} is missing; send it"):
        JourneysRequest.model_validate(content)


def test_a_field_of_another_view_is_refused():
    with pytest.raises(ValidationError, match="by belongs with the view breakdown"):
        JourneysRequest(view="map", by="age")


@pytest.mark.parametrize(
    "content",
    [
        {"view": "posters"},
        {"limit": 0},
        {"limit": 1001},
        {"at_most": 1},
        {"filter": {"how": ["vanished"]}},
        {"filter": {"since": "2026-01-01T12:00:00"}},
        {"next": {"within_days": 0}},
        {"unknown": 1},
    ],
)
def test_what_no_view_knows_is_refused(content):
    with pytest.raises(ValidationError):
        JourneysRequest.model_validate(content)
