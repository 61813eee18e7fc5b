"""A wording is bounded before it is filled in; everything else is refused in words."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.conditions.names import Names
from serving.catalog import template_language
from serving.catalog.template_filters import BoundedEnvironment
from serving.catalog.template_language import MAX_TEXT
from serving.catalog.treatments import Treatment
from tests.effort import MOST_CALLS, calls_of

NAMES = Names({"plan": "text", "context_first_name": "text", "order_n": "number", "known": "truth"})
ENVIRONMENT = BoundedEnvironment(html=False)


def refusal(text):
    with pytest.raises(ValueError, match=r"^title: ") as caught:
        Treatment({"title": text}, NAMES)
    return str(caught.value)


def test_every_example_of_the_language_can_be_filled_in():
    examples = re.findall(r"^ {4}(\{.*)$", template_language.__doc__, re.MULTILINE)
    assert len(examples) == 3
    values = {"context_first_name": "Ann", "order_n": 3.6, "plan": "basic"}
    filled = [Treatment({"title": text}, NAMES).fill(values)["title"] for text in examples]
    assert filled == ["Ann, 4 orders so far", "...", "help, offers"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{% if order_n and order_n > 3 %}many{% elif known %}few{% else %}?{% endif %}", "many"),
        ("{% set n = (order_n or 0)|int %}{{ n }} order{{ '' if n == 1 else 's' }}", "4 orders"),
        ("{{ '%.2f EUR' % (order_n or 0) }}", "4.00 EUR"),
        ("{{ plan|default('none', true)|upper }}", "PLUS"),
        ("{{ (plan or 'no plan')|capitalize ~ '!' }}", "Plus!"),
        ("{{ plan in ['plus', 'gold'] and not known }}", "False"),
        ("{{ 'a' if plan is none else 'b' }}", "b"),
        (
            "{% for a, b in [('x', 1), ('y', 2)] if b > 1 %}{{ loop.index }}{{ a }}{% endfor %}",
            "1y",
        ),
        ("{# a remark #}{% raw %}{{ }}{% endraw %}", "{{ }}"),
    ],
)
def test_what_people_write_is_filled_in(text, filled):
    values = {"plan": "plus", "order_n": 4.0, "known": True}
    assert Treatment({"title": text}, NAMES).fill(values) == {"title": filled}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ 'a'.ljust(3*10**8) }}", "not a call or a method"),
        ("{{ 'a'.ljust(order_n * 10**6) }}", "not a call or a method"),
        ("{{ plan.real }}", "not a part of a value, such as plan.name"),
        ("{{ plan[0] }}", "not a part of a value in brackets"),
        ("{{ 2 ** 9 }}", "not a power"),
        ("{{ plan|center(3) }}", "only the filters abs, "),
        ("{{ plan|uper }}", "not uper (did you mean upper?)"),
        ("{{ plan is nnone }}", "not nnone (did you mean none?)"),
        ("{{ 9999999999999999 }}", "whole numbers up to 1,000,000,000,000,000"),
        ("{% for x in plan %}{% endfor %}", "a loop over a list that is written out"),
        ("{% for x in [1] recursive %}{% endfor %}", "a loop over a list that is written out"),
        ("{% for x in [" + "1," * 21 + "] %}{% endfor %}", "at most 20 turns"),
        (
            "{% for x in [1,2,3,4,5] %}{% for y in [1,2,3,4,5] %}{% endfor %}{% endfor %}",
            "20 turns",
        ),
        ("{% include 'x' %}", "not the statement include"),
        ("{% extends 'x' %}", "not the statement extends"),
        ("{% import 'x' as x %}", "not the statement import"),
        ("{% macro a() %}{% endmacro %}", "not the statement macro"),
        ("{{ " + "plan ~ " * 500 + "plan }}", "at most 500 operations"),
        ("{% for x in [1,2,3] %}" + "{{ x }}." * 100 + "{% endfor %}", "at most 500 operations"),
        ("{{ 1" + " + 1" * 60 + " }}", "it nests too deep"),
        ("{{ loop.index }}", "names that a condition may use; not loop"),
        ("{{ range }}", "names that a condition may use; not range"),
    ],
)
def test_the_rest_of_jinja_is_refused_in_words(text, said):
    assert said in refusal(text)


DOUBLED = "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a OF a %}" * 40 + "{{ a }}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ '%300000000d' % 1 }}",
        "{{ 'a' * 3000000000 }}",
        DOUBLED.replace("OF", "~"),
        DOUBLED.replace("OF", "+"),
        DOUBLED.replace("'aaaaaaaaaa'", "99").replace("OF", "*"),
        "{% set a = 'aaaa' %}" + "{% set a = a|replace('a', 'aaaa') %}" * 30 + "{{ a }}",
        "{% set a = [1] %}" + "{% set a = [a, a] %}" * 80 + "{{ a }}",
        "{{ " + "(" * 2400 + "1" + ")" * 2400 + " }}",
        "{{ " + "[" * 2400 + "]" * 2400 + " }}",
        "{{ " + "not " * 1200 + "1 }}",
        "{{ " + "-" * 4900 + "1 }}",
        "{{ " + "9" * 4900 + " }}",
        "{{ 1" + "|abs" * 1200 + " }}",
        "{{ " + "1 if 1 else " * 400 + "1 }}",
        "{% if known %}" * 200 + "{% endif %}" * 200,
        "{" * MAX_TEXT,
        "{{" * (MAX_TEXT // 2),
        "{{ 'a" * (MAX_TEXT // 5),
        "x" * 10**6 + "{{ plan }}",
    ],
)
def test_hostile_texts_are_refused_at_once_and_fill_no_memory(text):
    calls = calls_of(lambda: refusal(text))
    tracemalloc.start()
    refusal(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert calls < MOST_CALLS and peak < 20e6


PARTS = ["{{", "}}", "{%", "%}", "plan", "order_n", "|", "upper", "~", "*", "%", "+", "'a'", "99"]
PARTS += [
    "if",
    "else",
    "endif",
    "for",
    "in",
    "endfor",
    "set",
    "=",
    "[",
    "]",
    "(",
    ")",
    ",",
    ".",
    "x",
]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(PARTS), max_size=14).map(" ".join) | st.text(max_size=50))
def test_any_text_is_refused_in_words_or_can_always_be_filled_in(text):
    try:
        treatment = Treatment({"title": text}, NAMES)
    except ValueError as refused:
        assert str(refused).startswith("title: ")
        return
    for order_n in (None, 0.0, -1e300, 2.5):
        values = {"plan": "x" * 9_999, "order_n": order_n}
        assert len(treatment.fill(values)["title"]) <= 10_000
