"""Treatments are filled in with known and unknown values, and never raise before a customer."""

from __future__ import annotations

import pytest

from features.conditions.names import Names
from serving.catalog.template_bounds import MAX_FILLED
from serving.catalog.template_language import MAX_TEXT
from serving.catalog.treatments import Treatment

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
        ("{{ plam }}", "names that a condition may use; not plam (did you mean plan?)"),
        ("{{ plan ", "a text with names in double braces"),
        ("{{ order_n|round }}", "while its names are unknown"),
        ("{{ plan.__class__ }}", ""),
        ("{{ 'a' * 1000000000 }}", "numbers only"),
        ("{{ " + "(" * 2400 + "1" + ")" * 2400 + " }}", "not nest so deep"),
        ("{{ " + "9" * 4900 + " }}", "cannot be read"),
        ("{{ plan.title() }}", "a filter does that, as in plan|upper"),
        ("{" + "a" * MAX_TEXT, "at most 5,000 characters"),
        ("{% set a = [1] %}" + "{% set a = [a, a] %}" * 80 + "{{ a }}", "200 values in a list"),
        ("{% set a = 1, 1 %}" + "{% set a = a, a %}" * 80 + "{{ a == a }}", "200 values in a list"),
    ],
)
def test_a_text_that_could_fail_is_refused_with_its_key(text, reason):
    with pytest.raises(ValueError, match=r"^tags\.1: ") as caught:
        Treatment({"tags": ["fine", text]}, NAMES)
    assert reason in str(caught.value)


def test_all_texts_that_are_refused_are_named():
    with pytest.raises(ValueError, match=r"^title: .*; body\.0: .*; body\.1\.text: "):
        Treatment({"title": "{{ plam }}", "body": ["{{", {"text": "{{ 1 * 'a' }}"}]}, NAMES)


def test_a_text_that_values_make_too_long_is_filled_in_as_if_they_were_unknown():
    content = {"title": "{{ context_name or 'Hello' }}!", "note": "{{ plan or '-' }}"}
    treatment = Treatment(content, NAMES)
    longest = "x" * (MAX_FILLED - 1)
    assert treatment.fill({"context_name": longest, "plan": "a"})["title"] == longest + "!"
    above = treatment.fill({"context_name": "x" * MAX_FILLED, "plan": "a"})
    assert above == {"title": "Hello!", "note": "-"}
    # A value that is too long by itself counts as unknown, and the others stay.
    alone = treatment.fill({"context_name": "x" * 16_000, "plan": "a"})
    assert alone == {"title": "Hello!", "note": "a"}


def test_lists_of_values_are_filled_in_and_too_long_ones_count_as_unknown():
    text = "{% set a, b = plan or '-', [plan or '-', 'x'] %}{{ a }} {{ b|join('+') }}"
    pairs = "{% for a, b in [(1, plan), (2, 'z')] %}{{ a }}{{ b or '-' }}{% endfor %}"
    treatment = Treatment({"title": text, "note": pairs}, NAMES)
    assert treatment.fill({"plan": "plus"}) == {"title": "plus plus+x", "note": "1plus2z"}
    assert treatment.fill({"plan": "y" * MAX_FILLED}) == {"title": "- -+x", "note": "1-2z"}


def test_a_large_number_costs_nothing():
    treatment = Treatment({"title": "{{ 'a' ~ (order_n or 0)|int }}, {{ plan or '' }}"}, NAMES)
    assert treatment.fill({"order_n": 1e300, "plan": "plus"})["title"] == "a0, "
    assert treatment.fill({"order_n": 1e9, "plan": "plus"})["title"] == "a1000000000, plus"


HOSTILE = "<script>\"'&"
ESCAPED = "&lt;script&gt;&#34;&#39;&amp;"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("<b>{{ plan }}</b> & more", f"<b>{ESCAPED}</b> & more"),
        ("{{ plan or '<i>none</i>' }}", ESCAPED),
        ("{{ '<i>' ~ plan ~ '</i>' }}", f"<i>{ESCAPED}</i>"),
        ("{{ '<i>' + (plan or '') }}", f"<i>{ESCAPED}"),
        ("{{ (plan or '') + '<i>' }}", f"{ESCAPED}<i>"),
        ("{{ '<i>%s</i>' % plan }}", f"<i>{ESCAPED}</i>"),
        ("{{ '<i>%s</i>'|format(plan) }}", f"<i>{ESCAPED}</i>"),
        ("{{ ['<i>', plan]|join('<br>') }}", f"<i><br>{ESCAPED}"),
        ("{{ '<i>x'|replace('x', plan or '') }}", f"<i>{ESCAPED}"),
        ("{{ (plan or '')|replace('script', '<br>') }}", "&lt;<br>&gt;&#34;&#39;&amp;"),
        ("{{ plan|upper }}", ESCAPED.replace("script", "SCRIPT")),
        ("{{ plan|e }}", ESCAPED),
        ("{{ plan|string|trim|default('x')|lower }}", ESCAPED),
        ("{{ plan|truncate(8, true, '...', 0) if plan else '' }}", "&lt;scri..."),
        ("{% set name = '<i>' ~ plan %}{{ name|replace('i>', 'b>') }}", f"<b>{ESCAPED}"),
        ("{% for x in ['<i>', plan] %}{{ x }}{% endfor %}", f"<i>{ESCAPED}"),
        ("{{ '<i>' if plan else '<b>' }}{{ (order_n or 0)|round|int }}", "<i>4"),
    ],
)
def test_html_escapes_what_is_filled_in_and_not_the_authors_own(text, filled):
    treatment = Treatment({"html": True, "body": text}, NAMES)
    answer = treatment.fill({"plan": HOSTILE, "order_n": 3.6})
    assert answer == {"html": True, "body": filled}
    assert type(answer["body"]) is str


def test_html_holds_for_the_mapping_in_which_it_stands_and_all_within():
    content = {
        "subject": "{{ plan }}",
        "body": {"html": True, "parts": ["{{ plan }}", {"text": "{{ plan }}"}]},
        "plain": {"html": False, "text": "{{ plan }}"},
        "more": {"html": "<b>{{ plan }}</b>"},  # a text under this key is a text
    }
    filled = Treatment(content, NAMES).fill({"plan": HOSTILE})
    assert filled["subject"] == filled["plain"]["text"] == HOSTILE
    assert filled["body"]["parts"] == [ESCAPED, {"text": ESCAPED}]
    assert filled["more"] == {"html": f"<b>{HOSTILE}</b>"}


@pytest.mark.parametrize("said", ["true", "Yes", 1, "1"])
def test_html_that_may_be_meant_is_not_passed_over(said):
    with pytest.raises(ValueError, match="^html: true or false, without quotes"):
        Treatment({"html": said, "title": "{{ plan }}"}, NAMES)
