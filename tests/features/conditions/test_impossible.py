"""A condition is refused if it can never hold, and only then."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.conditions.conditions import Conditions
from features.conditions.expressions import Reader
from features.conditions.impossible import first_excluded, refuse_impossible
from features.conditions.names import Names
from features.errors import InvalidCondition

NAMES = Names(
    {"gender": "text", "page": "text", "x": "number", "hour": "number", "known": "truth"},
    values={"gender": ("F", "M", "O")},
    ranges={"hour": (0.0, 23.75)},
)
READER = Reader(NAMES)


def refused(text):
    with pytest.raises(InvalidCondition) as caught:
        refuse_impossible(text, READER.condition(text), NAMES)
    return str(caught.value)


def can_hold(text):
    try:
        refuse_impossible(text, READER.condition(text), NAMES)
    except InvalidCondition:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        "x > 5 and x < 3",
        "x > 5 and not x > 3",
        "x > 3 and x <= 3",
        "x == 1 and x == 2",
        "x in [1, 2] and x > 2",
        "x == 1 and x != 1",
        "x == null and x > 3",
        "known and not known",
        "gender == 'F' and gender == 'M'",
        "gender in ['F', 'M'] and gender == 'O'",
        "page == 'a' and not page in ['a', 'b']",
        "gender != 'F' and gender != 'M' and gender != 'O' and gender != null",
        "hour >= 24",
        "hour > 22 and hour < 6",
        "hour < 0 or hour > 22 and hour < 6",
        "x != null and not (x <= 5 or x >= 3)",
        "x > 5 and (x < 3 or x < 4 and known)",
    ],
)
def test_what_excludes_itself_is_refused_with_the_name(text):
    sentence = refused(text)
    name = next(name for name in ("gender", "page", "hour", "x", "known") if name in text)
    assert sentence.startswith(f"`{text}` can never hold: no value of {name}")


@pytest.mark.parametrize(
    "text",
    [
        "gender == 'F'",
        "gender != 'F' and gender != 'M'",
        "gender != 'F' and gender != 'M' and gender != 'O'",  # where it is unknown
        "gender == null or gender == 'M'",
        "page == 'any'",
        "not (x <= 5 or x >= 3)",  # where it is unknown
        "not x > 5 and not x <= 5",  # where it is unknown
        "x >= 3 and x <= 3",
        "x > 5 or x < 3",
        "hour > 22 or hour < 6",
        "hour >= 23.75",
        "x > hour and x < hour",  # two names are not compared
        "x + 1 > 5 and x < 3",  # nor is arithmetic solved
        "false",  # switches an action off on purpose
        "x > 5 and (x < 3 or known)",
    ],
)
def test_what_may_hold_is_not_refused(text):
    assert can_hold(text)


GENDERS, NUMBERS = (None, "F", "M", "O"), (None, 0.0, 1.0, 2.0, 3.0)
ATOMS = [f"x {op} {value}" for op in ("==", "!=", "<", "<=", ">", ">=") for value in (1, 2)]
ATOMS += [f"{value} {op} x" for op in ("==", "<", ">=") for value in (1, 2)]
ATOMS += [f"gender {op} '{value}'" for op in ("==", "!=") for value in "FM"]
ATOMS += ["gender in ['F', 'O']", "x == null", "gender != null", "known", "x in [0, 2]"]
conditions = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda of: f"({of[0]}) {of[1]} ({of[2]})"
        ),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(conditions)
def test_a_condition_that_holds_for_somebody_is_never_refused(text):
    compiled = Conditions(NAMES, [text])
    held = [
        bool(
            compiled.holds(np.array([np.nan if x is None else x, 12.0, known]), {"gender": gender})
        )
        for x, known, gender in product((*NUMBERS, 1.5), (0.0, 1.0), GENDERS)
    ]
    assert can_hold(text) or not any(held)


def test_the_first_of_several_conditions_that_exclude_each_other_is_found():
    texts = ["known", "x > 3", "x < 9 or known", "gender == 'F'", "x in [1, 2]", "x > 100"]
    terms = [READER.condition(text) for text in texts]
    assert first_excluded(terms, NAMES) == (4, "x")
    assert first_excluded(terms[:4], NAMES) is None
    assert first_excluded([], NAMES) is None
