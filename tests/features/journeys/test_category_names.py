"""Category values of any text have names of letters, digits and underscores, and all differ."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from features.journeys.category_names import slug, value_names


def test_values_whose_slugs_differ_keep_their_slugs_as_names():
    values = ("Mailed check", "Credit card (automatic)", "65+", "Да")
    assert value_names(values) == ("mailed_check", "credit_card__automatic_", "65_", "да")


def test_values_of_one_slug_get_a_code_of_their_characters():
    assert value_names(["A+", "A-", "B"]) == ("a__41_2b", "a__41_2d", "b")
    assert value_names(["plus", "Plus"]) == ("plus", "plus_50")
    # The code of a value may be the slug of another one.
    assert len(set(value_names(["A+", "A-", "a__41_2b"]))) == 3


def test_a_name_does_not_change_with_the_order():
    values = ["A+", "a_2b", "A-", "a", "A"]
    names = dict(zip(values, value_names(values), strict=True))
    back = values[::-1]
    assert dict(zip(back, value_names(back), strict=True)) == names


@given(st.lists(st.text(min_size=1), unique=True, max_size=12))
def test_any_texts_have_names_that_differ(values):
    names = value_names(values)
    assert len(set(names)) == len(values)
    assert all(re.fullmatch(r"[\w]*", slug(name)) and name == slug(name) for name in names)


@given(st.lists(st.text("Aa+-_. é2b", min_size=1, max_size=30), unique=True, max_size=12))
def test_texts_that_are_alike_have_names_that_differ(values):
    assert len(set(value_names(values))) == len(values)
