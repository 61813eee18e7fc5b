"""The terms of a priority stand in sentences, each with its sign and currency."""

from __future__ import annotations

import pytest

from serving.policies.priority_text import (
    ASSUMED,
    NOT_LEARNED,
    PriorityTerms,
    no_action_texts,
    priority_text,
    priority_texts,
)

TERMS = PriorityTerms(0.042, 1.2, 0.79, 0.2, 0.009, 89.0)


@pytest.fixture
def book(book):
    """A catalogue whose action is worth 36.00 and costs 0.30, with other content at some keys."""
    return lambda arbitration=None, **action: book(
        arbitration, **{"value": 36.0, "cost": 0.3} | action
    )


def test_each_term_stands_in_a_sentence_with_sign_and_currency(book):
    # 0.042 x 36 = 1.512; + 0.20 - 0.009 x 89 = 0.911; x 1.2 - 0.30 = 0.793
    assert priority_texts(book(), 0, TERMS, "eur") == [
        "4.2% chance of acceptance x 36.00 EUR = 1.51 EUR",
        "+0.20 EUR: other purchases that it causes",
        "-0.80 EUR: makes leaving likelier by 0.9 percentage points, of a remaining value of "
        "89.00 EUR",
        "0.91 EUR added value x weight 1.2 - 0.30 EUR cost = 0.79 EUR",
    ]


def test_an_effect_may_have_the_other_sign_or_be_tiny(book):
    other = TERMS._replace(purchases=-0.25, leaving=-0.0001, weight=1.0)
    texts = priority_texts(book(lever=1.5), 0, other, "eur")
    assert texts[1] == "-0.25 EUR: other purchases that it replaces"
    assert texts[2].startswith("+0.01 EUR: makes leaving less likely by 0.01 percentage points")
    assert texts[3].startswith("1.27 EUR added value x lever 1.5 - 0.30 EUR cost")
    nothing = TERMS._replace(purchases=-0.0, leaving=0.0)
    assert priority_texts(book(), 0, nothing, "eur")[1].startswith("+0.00 EUR: ")


def test_a_formula_is_told_with_the_added_value(book):
    compiled = book({"formula": "added_value - cost"})
    told = priority_texts(compiled, 0, TERMS._replace(priority=0.61), "eur")
    assert told[3] == "0.91 EUR added value; added_value - cost = 0.61 EUR"


def test_what_the_business_assumes_is_told_beside_what_was_learned_or_alone(book):
    assumed = TERMS._replace(assumed=-1.25)
    texts = priority_texts(book(), 0, assumed, "eur")
    assert texts[3] == f"-1.25 EUR: {ASSUMED}"
    assert texts[4].startswith("-0.34 EUR added value x weight 1.2 ")  # 0.91 without it
    alone = assumed._replace(purchases=None, leaving=None)
    texts = priority_texts(book(), 0, alone, "eur")
    assert texts[1] == f"-1.25 EUR: {ASSUMED}" and len(texts) == 3
    assert texts[2].startswith("0.26 EUR added value")  # 0.042 x 36 - 1.25


def test_without_effects_the_sum_is_told_in_one_sentence(book):
    plain = PriorityTerms(0.042, 1.0, 1.21)
    text = "4.2% chance of acceptance x 36.00 EUR - 0.30 EUR cost = 1.21 EUR"
    assert priority_text(book(), 0, *plain[:3], "eur") == text
    assert priority_texts(book(), 0, plain, "eur") == [text]
    unlearned = plain._replace(remaining_value=89.0)
    assert priority_texts(book(), 0, unlearned, "eur") == [text, NOT_LEARNED]


def test_at_a_rank_that_is_looked_at_less_all_terms_are_smaller():
    seen = TERMS.looked_at(0.5, 0.25)
    assert seen == PriorityTerms(0.021, 1.2, 0.25, 0.1, 0.0045, 89.0)
    assert PriorityTerms(0.042, 1.0, 1.0).looked_at(0.5, 0.3).purchases is None
    assert TERMS._replace(assumed=5.0).looked_at(0.5, 0.25).assumed == 2.5


def test_no_action_says_what_it_saves_or_that_it_was_tried():
    def told(best, evenly=False, least=0.03):
        [text] = no_action_texts(least, best, "eur", drawn_evenly=evenly)
        return text

    assert told(-0.8).startswith("Nothing is shown, which saves 0.80 EUR: ")
    assert told(None) == "Nothing is shown, because no action is allowed."
    assert "the best action promises 0.50 EUR more. no_action keeps at least 3.0%" in told(0.5)
    assert told(0.5, least=0.0).endswith("promises 0.50 EUR more.")
    assert told(0.5, evenly=True) == "Nothing is shown, because no_action was drawn."
