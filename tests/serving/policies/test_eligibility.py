"""Each action is eligible, or removed by a rule that is named."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.errors import InvalidRequest
from features.store.feast_store import CustomerFeatures
from tests.serving.fakes import FakeModels, changed, decide, engine_of

PLUS = CustomerFeatures({"plan": "plus", "age_years": "41"}, None)


@pytest.fixture
def removed(toy_domain, toy_catalog, ledger, now):
    """Check eligibility with conditions on the discount; the removed actions with their rules."""

    def asked(discount=None, models=None, customer="c1", parts=None, **fields):
        actions = toy_catalog.model_dump(by_alias=True)["actions"]
        actions["discount"] |= discount or {}
        catalog = changed(toy_catalog, actions=actions, **(parts or {}))
        models = models or FakeModels(dict.fromkeys(catalog.actions, 0.2))
        engine = engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, models)
        decision = decide(engine, now, explain=True, customer_id=customer, **fields)
        return {one.action_id: one for one in decision.removed}

    return asked


def rules(found):
    return {name: one.rule for name, one in found.items()}


def test_what_the_channel_cannot_show_goes(removed):
    found = removed()
    assert rules(found) == {"talk_plus": "treatments"}
    assert found["talk_plus"].reason == "it has no treatment for app"


def test_only_what_the_caller_asks_for_stays(removed):
    found = rules(removed(actions=("discount",)))
    assert found == {"call_back": "request.actions", "talk_plus": "treatments"}


def test_what_the_caller_excludes_goes(removed):
    found = rules(removed(exclude=("call_back", "no_action")))
    assert found == {"call_back": "request.exclude", "talk_plus": "treatments"}


def test_excluding_wins_over_asking(removed):
    both = {"actions": ("call_back", "discount"), "exclude": ("call_back",)}
    assert rules(removed(**both))["call_back"] == "request.exclude"


@pytest.mark.parametrize("actions", [(), ("no_action",)])
def test_asking_for_nothing_leaves_nothing(removed, actions):
    assert len(removed(actions=actions)) == 3


@pytest.mark.parametrize("field", ["actions", "exclude"])
def test_an_action_that_does_not_exist_is_named_with_those_that_do(removed, field):
    message = f"{field} has 'dicsount'. .*Use some of: call_back, discount, talk_plus"
    with pytest.raises(InvalidRequest, match=message):
        removed(**{field: ("discount", "dicsount")})


@pytest.mark.parametrize(
    ("days", "gone"), [((-2, -1), True), ((1, 2), True), ((-1, 1), False), ((0, 1), False)]
)
def test_an_action_runs_from_its_start_until_before_its_end(removed, now, days, gone):
    start, end = (now + timedelta(days=day) for day in days)
    found = rules(removed({"start": start, "end": end}))
    assert found.get("discount") == ("dates" if gone else None)


@pytest.mark.parametrize("level", ["eligibility", "applicability", "suitability"])
def test_a_condition_that_does_not_hold_removes_with_its_words_and_values(removed, level):
    found = removed({level: ["known", "plan == 'basic' or age_years < 40"]})
    assert rules(found)["discount"] == level
    assert found["discount"].reason == (
        "it needs plan == 'basic' or age_years < 40; plan is 'plus', age_years is 41"
    )
    assert found["discount"].value == {"plan": "plus", "age_years": 41.0}


def test_a_condition_that_holds_removes_nothing(removed):
    assert "discount" not in removed({"eligibility": ["plan == 'plus'", "age_years == 41"]})


def test_of_several_that_fail_the_first_level_is_named(removed):
    conditions = {
        "eligibility": ["known"],
        "applicability": ["churn > 0.9"],
        "suitability": ["age_years > 99"],
    }
    found = removed(conditions)["discount"]
    assert (found.rule, found.value) == ("applicability", {"churn": 0.25})


def test_what_is_unknown_does_not_hold_and_is_called_unknown(removed):
    found = removed({"eligibility": ["age_years > 18"]}, customer="nobody")
    assert found["discount"].reason == "it needs age_years > 18; age_years is unknown"


@pytest.mark.parametrize(
    ("condition", "fields", "kept"),
    [
        ("channel == 'app'", {}, True),
        ("placement == 'home'", {"placement": "home"}, True),
        ("placement == 'home'", {}, False),
        ("context_page in ['help', 'cancel']", {"context": {"page": "cancel"}}, True),
        ("context_page in ['help', 'cancel']", {"context": {"page": "offers"}}, False),
        ("context_basket_eur >= 20", {"context": {"basket_eur": 20}}, True),
        ("context_logged_in", {"context": {"logged_in": True}}, True),
        ("context_logged_in", {}, False),
        ("churn > 0.2 and churn < 0.3", {}, True),
        ("intent == 'big'", {}, True),
        ("intent_big > 0.5 and intent_small < 0.5", {}, True),
        ("hour == 10 and weekday == 7", {}, True),  # Sunday, 10:00 UTC
        ("stage == null", {}, True),
    ],
)
def test_a_condition_may_speak_of_the_moment(removed, toy_catalog, condition, fields, kept):
    context = {"page": {"type": "text"}, "basket_eur": {"type": "number"}}
    context |= {"logged_in": {"type": "truth"}}
    models = FakeModels(dict.fromkeys(toy_catalog.actions, 0.2), intents={"small": 0.1, "big": 0.9})
    parts = {"context": context}
    found = removed({"suitability": [condition]}, models, parts=parts, **fields)
    assert ("discount" not in found) == kept


@pytest.mark.parametrize("value", ["12", True, [1], {"a": 1}])
def test_a_context_of_another_type_is_refused_with_its_key(removed, value):
    parts = {"context": {"basket_eur": {"type": "number"}}}
    with pytest.raises(InvalidRequest, match=r"context\.basket_eur is .* Expected a number"):
        removed(parts=parts, context={"basket_eur": value})


def test_a_context_that_no_line_describes_is_taken_as_it_comes(removed):
    assert rules(removed(context={"anything": [1, {"goes": None}]})) == {"talk_plus": "treatments"}
