"""Texts are compared only with the values that the domain declares."""

from __future__ import annotations

import pytest

from features.conditions.declared_values import refuse_other_values
from features.conditions.expressions import Reader
from features.conditions.names import Names
from features.errors import InvalidCondition

NAMES = Names(
    {"gender": "text", "page": "text", "x": "number", "known": "truth"},
    values={"gender": ("F", "M", "O")},
)
READER = Reader(NAMES)


def refused(text, term):
    with pytest.raises(InvalidCondition) as caught:
        refuse_other_values(text, term, NAMES)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "gender == 'Female'",
        "'Female' == gender",
        "gender != 'Female'",
        "gender in ['M', 'Female']",
        "gender not in ['Female']",
        "x > 3 or not (gender == 'Female' and known)",
        "(gender ?? 'O') == 'Female'",
        "known and (x > 3 ? gender : 'O') == 'Female'",
    ],
)
def test_a_text_that_a_name_can_never_be_is_refused_wherever_it_stands(text):
    sentence = refused(text, READER.condition(text))
    assert sentence.startswith(f"`{text}` compares ")
    assert "'Female', which it can never be. Expected one of 'F', 'M', 'O'." in sentence
    assert sentence.endswith("Did you mean 'F'?")


def test_a_formula_is_asked_for_the_same_values():
    text = "gender == 'female' ? 2 : 1"
    assert refused(text, READER.formula(text)).endswith("Did you mean 'F'?")


@pytest.mark.parametrize("text", ["gender == 'O'", "gender in ['F', 'M']", "page == 'Female'"])
def test_declared_values_and_free_texts_pass(text):
    refuse_other_values(text, READER.condition(text), NAMES)
