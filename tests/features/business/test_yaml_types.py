"""The type of each place is described in plain words."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any, Literal, TypeVar

import pytest
from pydantic import AwareDatetime, Field

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.business.yaml_file import Days, Frozen, Name
from features.business.yaml_types import accepted, described, fields_of, place


class Part(Frozen):
    begin: int = Field(alias="from")
    end: int = 0


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "true or false"),
        (int | None, "an integer"),
        (
            Annotated[float, Field(ge=0, lt=1e6)],
            "a finite number greater than or equal to 0 and l",
        ),
        (Days, "a finite number greater than 0 and less than or equal to 3,660"),
        (Name, "a name of small letters, digits and _, a letter first, at most 60 characters"),
        (Annotated[str, Field(min_length=1)], "a text, at least 1 character"),
        (Annotated[str, Field(pattern="^[a-z]{3}$")], "three small letters, such as eur"),
        (Literal["a"], "'a'"),
        (Literal["a", "b", "c"], "one of 'a', 'b' or 'c'"),
        (Literal["all"] | tuple[Name, ...], "'all', or a list"),
        (Annotated[tuple[int, ...], Field(min_length=1)], "a list, at least 1 entry"),
        (dict[Name, int], "a mapping"),
        (Part, "a mapping with keys of from, end"),
        (date, "a day such as 2026-03-01"),
        (time, "a time of the day in quotes, such as '21:00'"),
        (datetime, "a time such as 2026-03-01T09:00:00+01:00"),
        (AwareDatetime, "a time with a timezone, such as 2026-03-01T09:00:00+01:00"),
        (Any, "a value that JSON has"),
        (TypeVar("X"), "a value that JSON has"),
        (complex, "a value that JSON has"),
    ],
)
def test_what_a_type_accepts_is_said_in_words(annotation, words):
    assert described(accepted(annotation)).startswith(words)


@pytest.mark.parametrize(
    ("model", "location", "where", "words"),
    [
        (Domain, ("churn", "event"), ("churn", "event"), "a name of small"),
        (Domain, ("vocabulary", "literal['all']"), ("vocabulary",), "'all', or a list"),
        (Domain, ("vocabulary", "tuple[..]", 3), ("vocabulary", 3), "a name of small"),
        (Domain, ("events", "B", "[key]"), ("events", "B"), "a name of small"),
        (
            Domain,
            ("journeys", "a", "expected", "since"),
            ("journeys", "a", "expected", "since"),
            "a day such as",
        ),
        (
            Domain,
            ("journeys", "a", "expected", 0, "since"),
            ("journeys", "a", "expected", 0, "since"),
            "a day such as",
        ),
        (Domain, ("colour",), ("colour",), "a value that this key accepts"),
        (Catalog, ("actions", "a", "for"), ("actions", "a", "for"), "'left'"),
        (Catalog, ("actions", "a", "only_for"), ("actions", "a", "only_for"), "'left'"),
        (Catalog, ("actions", "a", "treatments", "x", "y", "z"), None, "a value that JSON has"),
        (Catalog, ("contact_policy", "caps", 1, "days"), None, "a finite number greater than 0"),
    ],
)
def test_the_place_of_an_error_is_found_without_the_names_of_types(model, location, where, words):
    found, kinds = place(model, location)
    assert found == (where or location)
    assert described(kinds).startswith(words)


def test_fields_have_the_keys_that_stand_in_a_file():
    assert list(fields_of(Part)) == ["from", "end"]
