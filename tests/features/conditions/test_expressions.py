"""Tests the syntax of conditions and formulas, and the errors for everything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.conditions import expressions
from features.conditions.expressions import MAX_LENGTH, Reader
from features.conditions.names import Names
from features.conditions.terms import MAX_DEPTH, Kind
from features.errors import InvalidCondition, InvalidDomain
from tests.effort import MOST_CALLS, calls_of

NUMBERS = (
    "churn",
    "tenure_months",
    "spend",
    "orders",
    "usual_order",
    "worth",
    "cost",
    "acceptance",
)
KINDS: dict[str, Kind] = dict.fromkeys(NUMBERS, "number")
KINDS |= {"consent": "truth", "plan": "text", "region": "text", "stage": "text"}
READER = Reader(Names(KINDS))
LANGUAGE = (
    "Expected names, numbers, texts in quotes, and or not in true false null, == != < <= > >= "
    "+ - * / ?? ? : ( ) [ ] and commas. "
    "Powers, patterns, attributes and functions are left out on purpose."
)
PLACE = "Look for a missing operator, quote or bracket there."
COMPARE = "Compare it, as in churn > 0.3 or plan in ['gold', 'silver']."
NUMBER = (
    "Expected a number in its place. "
    "Ask about texts, truths and null with == or !=; (consent ? 1 : 0) is a number."
)
ONE_KIND = "Expected two values of one kind. Texts stand in quotes, numbers do not."
PARTS = (
    "Expected comparisons, arithmetic and lists of constants after 'in'. "
    "Write it with these; the rest of rule-engine's language is left out on purpose."
)
LIST = "Expected such as in ['gold', 'silver'] or in [1, 2]. Ask for names and null with == and or."


def test_the_sentence_says_what_the_names_are():
    of_an_event = Reader(Names({"status": "text"}, expected="a property of the event"))
    with pytest.raises(InvalidCondition, match=r"names stat.* Expected a property of the event\."):
        of_an_event.condition("stat == 'late'")


def test_every_example_of_the_language_can_be_read():
    examples = re.findall(r"^ {4}(\S.*?)(?: {3}.*)?$", expressions.__doc__, re.MULTILINE)
    assert len(examples) == 5
    conditions, formulas = examples[:3], examples[3:]
    assert {READER.condition(text).kind for text in conditions} == {"truth"}
    assert {READER.formula(text).kind for text in formulas} == {"number"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "chrun > 0.3",
            "names chrun, which is not known here. Expected a feature, a prediction, an attribute "
            "or a word of the context. Did you mean churn?",
        ),
        (
            "false ? weather == 'rain' : consent",
            "names weather, which is not known here. Expected a feature, a prediction, an "
            "attribute or a word of the context. Check how it is spelled.",
        ),
        ("", "cannot be read at its end. Expected an expression such as churn > 0.3. " + PLACE),
        (
            "churn > 0.3 and",
            "cannot be read at its end. Expected an expression such as churn > 0.3. " + PLACE,
        ),
        (
            "churn > > 0.3",
            "cannot be read at character 9. Expected an expression such as churn > 0.3. " + PLACE,
        ),
        (
            "0 < churn < 1",
            "cannot be read at character 11. Expected an expression such as churn > 0.3. " + PLACE,
        ),
        ("churn = 0.3", f"has =  at character 7. {LANGUAGE}"),
        ("plan == 'gold", f"has 'g at character 9. {LANGUAGE}"),
        ("plan == d'2026-11-22'", f"has d at character 9. {LANGUAGE}"),
        ("plan =~ 'g.*'", f"has =~ at character 6. {LANGUAGE}"),
        ("churn.real > 0", f"has .r at character 6. {LANGUAGE}"),
        ("max(churn, 1) > 0", f"has max at character 1. {LANGUAGE}"),
        ("churn ** 2 > 1", f"has ** at character 7. {LANGUAGE}"),
        ("churn > nan", f"has nan at character 9. {LANGUAGE}"),
        ("churn", f"has churn (a number). Expected true or false in its place. {COMPARE}"),
        (
            "plan == 'gold' or 'silver'",
            f"has 'silver' (a text). Expected true or false in its place. {COMPARE}",
        ),
        ("plan > 3", f"has plan (a text). {NUMBER}"),
        ("-plan == 'gold'", f"has plan (a text). {NUMBER}"),
        ("churn > null", f"has null. {NUMBER}"),
        ("consent > 0", f"has consent (true or false). {NUMBER}"),
        ("plan == 3.5", f"puts plan (a text) beside 3.5 (a number). {ONE_KIND}"),
        ("plan in ['gold', 1]", f"puts plan (a text) beside 1 (a number). {ONE_KIND}"),
        ("(plan ?? 1) == 1", f"puts plan (a text) beside 1 (a number). {ONE_KIND}"),
        ("churn ?? 0 > 1", f"puts churn (a number) beside true or false. {ONE_KIND}"),
        ("(consent ? null : null) == churn", f"puts null beside null. {ONE_KIND}"),
        ("churn in region", f"has 'in' without a list behind it. {PARTS}"),
        ("plan[0] == 'g'", f"has an item in brackets. {PARTS}"),
        ("(plan)(1) == 2", f"has a function call. {PARTS}"),
        ("plan in []", f"has an empty list, or more than constants in it. {LIST}"),
        ("plan in [null]", f"has an empty list, or more than constants in it. {LIST}"),
        ("plan in [region]", f"has an empty list, or more than constants in it. {LIST}"),
        (
            "churn > 1 / 0",
            "cannot be computed. "
            "Expected constants that go together, and no 1 / 0. Write it in a simpler way.",
        ),
        (
            "churn > 9e999999 + 9e999999",
            "cannot be computed. "
            "Expected constants that go together, and no 1 / 0. Write it in a simpler way.",
        ),
        ("churn > 1e309", "has a number too large. Expected at most 1e308. Write a smaller one."),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(text, said):
    with pytest.raises(InvalidCondition) as caught:
        READER.condition(text)
    assert str(caught.value) == f"`{text}` {said}"


def test_a_formula_is_a_number():
    with pytest.raises(InvalidCondition) as caught:
        READER.formula("churn > 0.3")
    assert str(caught.value) == f"`churn > 0.3` has true or false. {NUMBER}"


def test_a_broken_condition_is_a_broken_file():
    assert issubclass(InvalidCondition, InvalidDomain)


def nested(form, inner, length):
    """The text with ``form`` put around it, until it would be longer than ``length``."""
    while len(form) - 2 + len(inner) <= length:
        inner = form.replace("{}", inner)
    return inner


@pytest.mark.parametrize(
    "text",
    [
        # Were they let through, the first three would take seconds each; longer ones, for ever.
        "1 << 1000000 > churn",
        "'aaaaaaaaaaaaaaaaaaaaaaaaab' =~ '(a+)+$'",
        "[x for x in $range(3000000)] == []",
        "9 ** 9 ** 9 ** 9 > churn",
        "plan.__class__.__mro__ == 1",
        "$random() > 0.5",
        "{'a': 1}['a'] > churn",
        "plan == '\\x41'",
        "# true",
        "-" * (MAX_LENGTH - 9) + "churn > 1",
        "not " * 120 + "consent",
        "churn" + " - churn" * 61 + " > 1",
        "consent and (not (" * 27 + "consent" + ")" * 54,
        "churn > 1 or " * 39,
        "churn > 1 or " * 80_000,
        nested("({} in ['0','1','2'] ? plan : region)", "plan", 304) + " in ['0','1','2']",
        nested("({} in ['0','1','2'] ? plan : region)", "plan", 480) + " in ['0','1','2']",
        nested("({} in [true, false])", "consent", MAX_LENGTH),
        nested("({} in [true])", "consent", MAX_LENGTH),
        nested("({} ? consent : consent)", "consent", MAX_LENGTH),
        nested("[{}]", "churn", MAX_LENGTH),
        "churn in " + nested("[{}]", "1", MAX_LENGTH - 9),
        "churn > " + "9" * 490,
        "churn > 1e" + "9" * 480,
        "churn > " + "*".join(["1e300"] * 80),
        "churn > " + "*".join(["9e999999"] * 50),
        "plan == " + " + ".join(["'aaaaaaaa'"] * 30) + " * 99",
        "consent" + " == consent" * 44,
        "plan" + "[0]" * 160,
        "churn > \u0663",
        "churn > \uff12",
    ],
)
def test_hostile_texts_are_refused_at_once(text):
    def refused() -> None:
        with pytest.raises(InvalidCondition):
            READER.condition(text)

    assert calls_of(refused) < MOST_CALLS


def test_length_and_depth_end_exactly_where_they_are_said_to():
    assert READER.condition("consent".ljust(MAX_LENGTH)).kind == "truth"
    with pytest.raises(InvalidCondition, match="^`consent {53}...` is 501 characters long."):
        READER.condition("consent".ljust(MAX_LENGTH + 1))
    assert READER.formula("churn" + " + cost" * MAX_DEPTH).kind == "number"
    with pytest.raises(InvalidCondition, match="nests too deep. Expected at most 30 operations"):
        READER.formula("churn" + " + cost" * (MAX_DEPTH + 1))


def test_a_list_may_be_long_or_follow_an_operation_but_not_both():
    ninety = ", ".join(str(number) for number in range(90))
    assert READER.condition(f"churn in [{ninety}]").size < 1000
    assert READER.condition("spend / orders in [1, 2, 3]").kind == "truth"
    with pytest.raises(InvalidCondition, match="needs more than 1,000 operations. Expected a list"):
        READER.condition(f"spend + orders + cost + worth + churn in [{ninety}]")


def test_equal_parts_of_two_texts_are_one_term():
    alone, joined = READER.condition("cost>(3)"), READER.condition("consent and cost > 3.0")
    assert alone in set(joined.parts())


def test_brackets_and_long_alternatives_are_not_deep():
    assert READER.condition("(" * 240 + "consent" + ")" * 240).kind == "truth"
    assert READER.condition(" or ".join(f"cost > {number}" for number in range(35))).kind == "truth"


WORDS = ["churn", "plan", "consent", "and", "or", "not", "in", "null", "true", "1", ".5", "'a'"]
SIGNS = ["==", "!=", "<", ">=", "+", "-", "*", "/", "??", "?", ":", "(", ")", "[", "]", ",", "\n"]
FOREIGN = ["for", "if", "else", "$", "&.", "{", "}", "**", "0x1f", "007", "1e999", "d'P'", "é", "'"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS + SIGNS + FOREIGN), max_size=12).map(" ".join) | st.text())
def test_any_text_is_read_or_refused_in_words(text):
    try:
        assert READER.condition(text).kind == "truth"
    except InvalidCondition as refused:
        assert str(refused).startswith(f"`{text}` ")


def test_a_name_may_have_the_letters_of_a_category_value():
    reader = Reader(Names({"size_да_share": "number", "size_é_share": "number", "plan": "text"}))
    term = reader.condition("size_да_share > 2 * size_é_share and plan != 'size_да_share'")
    used = {part.value for part in term.parts() if part.op == "name"}
    assert used == {"size_да_share", "size_é_share", "plan"}
    assert {part.value for part in term.parts() if part.kind == "text"} == {"plan", "size_да_share"}
    with pytest.raises(InvalidCondition, match="names size_дат_share, which .* size_да_share"):
        reader.condition("size_дат_share > 2")
    for text, said in (
        ("size_да_share(1) > 2", "has size_да_share at character 1."),
        ("size_да_share > > 2", "cannot be read at character 17."),
        ("size_да_share", "has size_да_share [(]a number[)]"),
    ):
        with pytest.raises(InvalidCondition, match=said):
            reader.condition(text)
