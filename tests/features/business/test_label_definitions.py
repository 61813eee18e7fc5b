"""A domain file defines the churn and intent labels and the protocol of validation."""

import pytest

from features.errors import InvalidDomain

AFTER_EACH = {"event": "order", "property": "kind", "ask": "after_each"}


def _moments(first, last, test_from):
    return {"first": first, "last": last, "every_days": 7, "test_from": test_from}


def test_the_first_test_moment_may_be_the_last_of_all(toy):
    assert toy(moments=_moments("2026-03-01", "2026-05-01", "2026-05-01")).moments.every_days == 7


def test_churn_may_be_an_event_that_happens(toy):
    churn = toy(churn={"event": "order", "when": "happens"}).churn
    assert (churn.when, churn.active_days, churn.silent_days) == ("happens", None, None)


@pytest.mark.parametrize("back", ["visit", ["visit"]])
def test_events_of_coming_back_are_one_or_several(toy, back):
    assert toy(churn={"event": "order", "when": "happens", "back": back}).churn.back == ("visit",)


@pytest.mark.parametrize(
    ("churn", "said"),
    [
        ({}, "churn.active_days is missing. Expected a number, and one for silent_days."),
        ({"active_days": 3}, "Expected a number, and one for silent_days."),
        ({"silent_days": 3}, "churn.active_days is missing."),
        ({"when": "happens", "active_days": 3}, "churn.when is 'happens'. Expected silent, or no"),
        ({"when": "happens", "silent_days": 3}, "churn.when is 'happens'. Expected silent, or no"),
        ({"when": "never"}, "churn.when is 'never'."),
        (
            {"active_days": 3, "silent_days": 3, "back": "visit"},
            "churn.back is 'visit'. Expected nothing, unless 'when' is happens.",
        ),
        ({"when": "happens", "back": "order"}, "churn.back is 'order'. Expected another event"),
    ],
)
def test_only_silence_has_a_length(toy, churn, said):
    with pytest.raises(InvalidDomain) as caught:
        toy(churn={"event": "order", **churn})
    assert said in str(caught.value)


def test_intent_may_be_asked_after_each_event_and_have_an_end(toy):
    assert toy(intent=AFTER_EACH).intents == ("small", "big")
    assert toy(intent={**AFTER_EACH, "end": "none"}).intents == ("small", "big", "none")


DAYS = {"active_days": 3, "within_days": 3}


@pytest.mark.parametrize(
    ("intent", "said"),
    [
        (
            {"ask": "at_moments"},
            "intent.active_days is missing. Expected a number, and one for within",
        ),
        ({"ask": "at_moments", "active_days": 3}, "Expected a number, and one for within_days."),
        ({"ask": "at_moments", "within_days": 3}, "intent.active_days is missing."),
        (
            {"ask": "at_moments", **DAYS, "end": "none"},
            "intent.end is 'none'. Expected nothing, un",
        ),
        ({"active_days": 3}, "intent.ask is 'after_each'. Expected at_moments, or no active_days"),
        ({"within_days": 3}, "intent.ask is 'after_each'. Expected at_moments, or no active_days"),
        ({"ask": "sometimes"}, "intent.ask is 'sometimes'."),
        ({"end": ""}, "intent.end is ''."),
    ],
)
def test_only_moments_have_spans_and_only_what_follows_has_an_end(toy, intent, said):
    with pytest.raises(InvalidDomain) as caught:
        toy(intent={**AFTER_EACH, **intent})
    assert said in str(caught.value)


DATED = _moments("2026-03-01", "2026-05-01", "2026-04-01")


@pytest.mark.parametrize("way", [DATED, {"test_where": {"plan": "plus"}}, {"folds": 5}])
def test_a_model_is_judged_on_later_time_or_on_some_customers_or_on_each_fold(toy, way):
    moments = toy(moments=way).moments
    assert set(moments.model_dump(exclude_none=True)) == set(way)


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        ({}, "moments is {}. Expected one of: four dates, test_where, folds."),
        ({"folds": 5, "test_where": {"plan": "plus"}}, "Expected one of: four dates, test_where"),
        ({"folds": 5, **DATED}, "Expected one of: four dates, test_where, folds."),
        ({"folds": 5, "first": "2026-03-01"}, "Expected one of: four dates, test_where, folds."),
        ({"folds": 1}, "moments.folds is 1."),
        ({"test_where": {}}, "moments.test_where is {}. Expected one attribute and its value."),
        ({"test_where": {"plan": "plus", "age_years": "3"}}, "Expected one attribute and its val"),
        (
            {"test_where": {"plan": "gold"}},
            "moments.test_where is {'plan': 'gold'}. Expected a cat",
        ),
        ({"test_where": {"age_years": "3"}}, "Expected a category of 'attributes' and its value."),
        ({"test_where": {"colour": "red"}}, "Expected a category of 'attributes' and its value."),
        *(
            (
                {name: day for name, day in DATED.items() if name != gone},
                f"moments.{gone} is missing.",
            )
            for gone in DATED
        ),
    ],
)
def test_there_is_one_way_to_judge_and_it_is_whole(toy, moments, said):
    with pytest.raises(InvalidDomain) as caught:
        toy(moments=moments)
    assert said in str(caught.value)
