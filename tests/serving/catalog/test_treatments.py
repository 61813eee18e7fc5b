"""Treatments are filled in with known and unknown values, and never raise before a customer."""

from __future__ import annotations

import pytest

from serving.catalog.expressions import Names
from serving.catalog.treatments import MAX_TEXT, Treatment

NAMES = Names({"context_name": "text", "plan": "text", "order_n": "number"})


def test_texts_are_filled_in_at_any_depth_and_other_content_stays():
    content = {
        "title": "{{ context_name or 'Hello' }}: {{ (order_n or 0)|int }} orders",
        "tags": [1, "{{ plan }}", {"code": "{ not a name }"}],
        "shown": True,
    }
    treatment = Treatment(content, NAMES)
    assert treatment.names == ("context_name", "order_n", "plan")
    filled = treatment.fill({"context_name": "Anna", "order_n": 3.6, "plan": "plus"})
    assert filled["title"] == "Anna: 3 orders"
    assert filled["tags"] == [1, "plus", {"code": "{ not a name }"}]
    assert filled["shown"] is True
    nobody = treatment.fill(dict.fromkeys(treatment.names))
    assert nobody["title"] == "Hello: 0 orders"


def test_without_names_the_payload_is_copied():
    content = {"title": "Ten percent off"}
    filled = Treatment(content, NAMES).fill({})
    assert filled == content and filled is not content


def test_values_that_break_a_text_count_as_unknown():
    treatment = Treatment({"share": "{{ 100 / order_n if order_n is not none else '?' }}"}, NAMES)
    assert treatment.fill({"order_n": 8.0}) == {"share": "12.5"}
    assert treatment.fill({"order_n": 0.0}) == {"share": "?"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ plam }}", "names that a condition may use; not plam"),
        ("{{ plan ", "a text with names in double braces"),
        ("{{ order_n|round }}", "while its names are unknown"),
        ("{{ plan.__class__ }}", ""),
        ("{{ 'a' * 1000000000 }}", "numbers only"),
        ("{" + "a" * MAX_TEXT, "at most 5,000 characters"),
    ],
)
def test_a_text_that_could_fail_is_refused_with_its_key(text, reason):
    with pytest.raises(ValueError, match=r"^tags\.1: ") as caught:
        Treatment({"tags": ["fine", text]}, NAMES)
    assert reason in str(caught.value)
