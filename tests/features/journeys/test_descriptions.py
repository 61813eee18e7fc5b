"""Every feature of every business in plain English: named, with a unit, and true to its number."""

from __future__ import annotations

import re
from math import inf, log, nan
from pathlib import Path

import pytest
import yaml

import features
from features.business.domain import Domain, load_domain
from features.journeys.descriptions import (
    FeatureDescription,
    Quantity,
    duration,
    event_noun,
    format_amount,
    format_number,
    humanize,
)
from features.journeys.model_input import ModelInput

DOMAINS = Path(features.__file__).parent / "domains"
TOY = Path(__file__).parents[2] / "toy" / "domain.yaml"
FILES = {name: DOMAINS / f"{name}.yaml" for name in ("grocery", "telco", "helpdesk")} | {"toy": TOY}
DAY_S = 86_400.0
AT_S = 1_780_000_000.0
# Nothing but structure: two currencies, braces, an account, a lone participle, a fast half-life.
ODD = {
    "name": "odd",
    "currency": "eur",
    "channels": ["call_centre", "web"],
    "account": "company",
    "vocabulary": "all",
    "attributes": {
        "seats": {"type": "number"},
        "tenure_months": {"type": "number"},
        "tenure_years": {"type": "number"},
        "size": {"type": "number"},
        "tier": {"type": "category", "values": ["{gold}", "no_tier"]},
    },
    "events": {
        "cancelled": {
            "description": "Left.",
            "journey": "leaving",
            "stage": "use",
            "touchpoint": "internal",
            "signal": "direct",
            "properties": {
                "fee_eur": {"type": "number"},
                "fee_gbp": {"type": "number"},
                "wait_s": {"type": "number"},
                "cause": {"type": "category", "values": ["{price}", "too_slow", "too slow?"]},
            },
        }
    },
    "half_lives_days": [0.04, 1, 56],
}


def business(name: str) -> Domain:
    return Domain.model_validate(ODD) if name == "odd" else load_domain(FILES[name])


@pytest.fixture(params=[*FILES, "odd"])
def model_input(request) -> ModelInput:
    return ModelInput(business(request.param))


@pytest.fixture(scope="module")
def toy() -> ModelInput:
    return ModelInput(load_domain(TOY))


@pytest.fixture(scope="module")
def odd() -> ModelInput:
    return ModelInput(Domain.model_validate(ODD))


def some_text(description: FeatureDescription) -> str:
    """The text for a number that no other rule of wording touches."""
    return description.text(0.0 if description.values else 3.0)


def test_every_feature_has_words_and_a_unit_in_the_order_of_the_row(model_input):
    assert tuple(model_input.descriptions) == model_input.names
    for name, description in model_input.descriptions.items():
        assert description.description and description.unit, name


def test_nothing_is_left_of_the_names_that_programs_use(model_input):
    for name, description in model_input.descriptions.items():
        for said in (
            description.description,
            description.unit,
            some_text(description),
            description.text(nan),
        ):
            told = re.sub(r"'?\{(gold|price)\}'?", "value", said)  # values may be any texts
            assert not re.search(r"[_{}\n]|  |None", told), (name, said)


def test_no_two_features_are_told_alike(model_input):
    for tell in (
        lambda description: description.description,
        some_text,
        lambda description: description.text(nan),
    ):
        told = [tell(one) for one in model_input.descriptions.values()]
        assert sorted({one for one in told if told.count(one) > 1}) == []


UNIT_OF_SUFFIX = {
    r"_(known|silence|gap|age|stage|wait)_days(_[\d.]+d)?": "days",
    r"_(preference|last_share)|_share_[\d.]+d": "share",
    r"_per_week_[\d.]+d": "times a week",
    r"spend_per_week_([a-z]{3})_[\d.]+d": "{} a week",
    r"(?!account_).*_(usd|eur)(_mean_[\d.]+d)?": "{}",
    r"_active_weeks_[\d.]+d": "weeks",
    r"_gap_mean": "days",
    r"_(gap_sd|silence_ratio)|_trend_[\d.]+d": "times",
    r"_months": "months",
}


def test_units_are_those_that_the_names_end_with(model_input):
    met = 0
    for name, description in model_input.descriptions.items():
        for pattern, unit in UNIT_OF_SUFFIX.items():
            found = re.search(f"{pattern}$", name)
            if found and not (unit == "times a week" and name.startswith("spend_")):
                currency = next((kept for kept in found.groups() if kept in ("usd", "eur")), "")
                assert description.unit == unit.format(currency.upper()), name
                met += 1
    assert met > 0.5 * len(model_input.names)


def test_a_half_life_in_a_name_is_said_in_days_hours_or_minutes(model_input):
    seen = 0
    for name, description in model_input.descriptions.items():
        if found := re.search(r"_([\d.]+)d$", name):
            assert duration(float(found[1])) in description.description, name
            assert duration(float(found[1])) in some_text(description), name
            seen += 1
    assert seen > 5


@pytest.mark.parametrize(
    ("feature", "number", "text"),
    [
        ("visit_silence_days", 61.7, "62 days since the last visit"),
        ("visit_silence_days", 0.1, "2.4 hours since the last visit"),
        ("visit_silence_days", 0.0, "0 seconds since the last visit"),
        ("visit_silence_days", nan, "no visit yet (time since the last visit)"),
        ("visit_gap_mean", log(8), "usually 7 days from one visit to the next"),
        ("visit_gap_sd", log(2), "times from one visit to the next vary by a factor of 2"),
        (
            "visit_silence_z",
            1.26,
            "silence since the last visit is 1.3 standard deviations longer than usual",
        ),
        (
            "visit_silence_z",
            -1.0,
            "silence since the last visit is 1 standard deviation shorter than usual",
        ),
        (
            "visit_silence_ratio",
            log(2.4),
            "silence since the last visit is about 2.4 times as long as usual",
        ),
        ("order_per_week_7d", 0.5, "order 0.5 times a week over the last 7 days or so"),
        (
            "order_amount_eur_mean_28d",
            1234.5,
            "amount of 1,234 EUR per order on average over the last 28 days or so",
        ),
        (
            "order_kind_small_share_28d",
            0.382,
            "kind 'small' in 38% of the order events over the last 28 days or so",
        ),
        ("order_kind_big_silence_days", 1.0, "1 day since the last order with kind 'big'"),
        (
            "order_active_weeks_28d",
            1.0,
            "1 week with any order, each counting half after 28 days",
        ),
        (
            "channel_app_preference",
            0.0,
            "0% of the remembered events came through the channel app",
        ),
        ("session_minutes", nan, "no session under way (length of the session under way)"),
        ("journey_purchase_open", 1.0, "1 journey open of the kind purchase"),
        ("journey_purchase_stage", 5.0, "purchase journey at the stage use"),
        ("open_problems", 0.0, "0 problems open"),
        ("plan", 1.0, "plan is plus"),
        ("plan", nan, "nothing known about plan"),
        ("age_years", 41.5, "age is 42 years"),
    ],
)
def test_a_feature_and_its_number_in_words(toy, feature, number, text):
    assert toy.descriptions[feature].text(number) == text


@pytest.mark.parametrize(
    ("feature", "number", "text"),
    [
        ("cancelled_silence_days", 3.0, "3 days since the last event 'cancelled'"),
        ("call_minutes_mean_1d", 90.0, "1.5 hours per call on average over the last day or so"),
        (
            "nps_score_mean_56d",
            8.4,
            "score of 8.4 points (0 to 10) per NPS on average over the last 56 days or so",
        ),
        (
            "review_stars_mean_0.04d",
            1.0,
            "1 star per review on average over the last 57.6 minutes or so",
        ),
        ("feedback_nps_last", 8.0, "8 points (0 to 10) in the last score for NPS"),
        ("spend_per_week_eur_56d", 9.44, "9.4 EUR a week spent over the last 56 days or so"),
        ("problem_age_days", 0.5, "oldest problem open for 12 hours"),
        ("account_events_n", 1.0, "in the whole account, 1 event in all"),
        (
            "account_call_silence_days",
            nan,
            "in the whole account, no call yet (time since the last call, in the whole account)",
        ),
        ("seats", 1.0, "number of seats is 1"),
        ("tenure_months", 34.0, "tenure is 34 months"),
        ("size", inf, "nothing known about size"),
        ("tier", 0.0, "tier is {gold}"),
    ],
)
def test_units_plurals_accounts_and_odd_names(odd, feature, number, text):
    assert odd.descriptions[feature].text(number) == text


def test_the_value_is_in_the_unit_and_a_category_is_its_own_text(toy, odd):
    assert toy.descriptions["visit_gap_mean"].value(log(8)) == pytest.approx(7.0)
    assert toy.descriptions["visit_silence_days"].value(0.1) == 0.1
    assert toy.descriptions["visit_silence_days"].value(nan) is None
    assert odd.descriptions["tier"].value(1.0) == "no_tier"


def test_charges_are_and_a_charge_is():
    description = ModelInput(business("telco")).descriptions
    assert description["monthly_charges_usd"].text(70.35) == "monthly charges are 70 USD"
    assert description["contract"].text(0.0) == "contract is Month-to-month"


def test_what_the_fold_reads_of_a_known_past_is_told_as_it_was(toy):
    """Two orders a week apart, the last one two days ago; told from the numbers of the fold."""
    state = toy.fold.empty()
    for days, paid, kind in ((9, 10.0, "small"), (2, 40.0, "big")):
        properties = {"amount_eur": paid, "kind": kind}
        state = toy.fold.advance(state, "order", "app", AT_S - days * DAY_S, properties)
    row = dict(zip(toy.names, toy.read({"plan": "plus"}, state, AT_S), strict=True))
    told = {name: toy.descriptions[name].text(number) for name, number in row.items()}
    assert told["order_known_days"] == "9 days since the first order"
    assert told["order_silence_days"] == "2 days since the last order"
    assert told["order_gap_days"] == "7 days between the last order and the one before"
    assert told["order_gap_mean"] == "usually 7 days from one order to the next"
    # 1 + 2 days of silence against 1 + 7: the ratio that the feature is the logarithm of.
    assert told["order_silence_ratio"].endswith("is about 0.38 times as long as usual")
    assert told["order_silence_z"].endswith("shorter than usual")
    # The older of the two has lost half of its weight: (40 + 5) / 1.5.
    assert told["order_amount_eur_mean_7d"].startswith("amount of 30 EUR per order")
    assert told["order_kind_big_share_7d"].startswith("kind 'big' in 67% of the order events")
    assert told["channel_app_preference"].startswith("100% of the remembered events")
    assert told["journey_purchase_stage"] == "purchase journey at the stage action"
    assert told["visit_silence_days"].startswith("no visit yet")
    assert told["events_n"] == "2 events in all"
    assert told["plan"] == "plan is plus"


def test_words_are_made_only_when_somebody_asks():
    fresh = ModelInput(load_domain(TOY))
    fresh.read({}, None, AT_S)
    assert "descriptions" not in vars(fresh)
    assert fresh.descriptions is fresh.descriptions


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.0004, "almost 0"),
        (-0.0004, "almost 0"),
        (0.0384, "0.038"),
        (1.0, "1"),
        (9.44, "9.4"),
        (9.96, "10"),
        (61.7, "62"),
        (-61.7, "-62"),
        (1234.5, "1,234"),
        (1e7, "10,000,000"),
    ],
)
def test_numbers_for_people(number, text):
    assert format_number(number) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.0, "days", "1 day"),
        (412.0, "days", "412 days"),
        (1.0 / 24, "days", "1 hour"),
        (0.01, "days", "14 minutes"),
        (-3.0, "days", "-3 days"),
        (150.0, "seconds", "2.5 minutes"),
        (0.5, "minutes", "30 seconds"),
        (0.0042, "share", "0.42%"),
        (1.0, "share", "100%"),
        (1.0, "times a week", "1 time a week"),
        (1.0, "points (0 to 10)", "1 point (0 to 10)"),
        (1.0, "USD a week", "1 USD a week"),
        (1.04, "events", "1 event"),
        (11.0, "events", "11 events"),
        (3.0, "number", "3"),
    ],
)
def test_amounts_for_people(value, unit, text):
    assert format_amount(value, unit) == text


@pytest.mark.parametrize(
    ("name", "bounds", "label", "unit"),
    [
        ("amount_eur", (0, None), "amount", "EUR"),
        ("amount_usd", (0, None), "amount usd", "number"),
        ("wait_ms", (None, None), "wait", "milliseconds"),
        ("minutes", (0, None), "minutes", "minutes"),
        ("items", (0, 500), "items", "items"),
        ("score", (0, 10), "score", "points (0 to 10)"),
        ("mood", (-1, 1), "mood", "points (-1 to 1)"),
        ("status", (None, None), "status", "number"),
        ("days", (None, None), "days", "days"),
    ],
)
def test_a_name_and_its_bounds_tell_the_unit(name, bounds, label, unit):
    assert Quantity.named(name, "eur", *bounds) == Quantity(label, unit)


def test_names_as_people_say_them():
    assert humanize("complaint_opened") == "complaint opened"
    assert humanize("nps") == "NPS"
    assert (event_noun("cancelled"), event_noun("page_view")) == ("event 'cancelled'", "page view")
    assert (duration(56.0), duration(1.0), duration(0.25)) == ("56 days", "day", "6 hours")


@pytest.mark.parametrize("grade", ["A+", "a, b: {c}", "{amount}", "Да", "{", "100%", "new_one"])
def test_a_category_of_any_text_is_told_as_it_is(grade):
    rule = {"type": "category", "values": [grade, "old"]}
    content = yaml.safe_load(TOY.read_text(encoding="utf-8"))
    content["attributes"]["plan"] = rule
    content["events"]["order"]["properties"]["kind"] = rule
    model_input = ModelInput(Domain.model_validate(content))
    said = "new one" if grade == "new_one" else grade
    described = model_input.descriptions["plan"]
    assert (described.value(0.0), described.text(0.0)) == (grade, f"plan is {said}")
    share = next(name for name in model_input.names if name.endswith("_last_share"))
    told = model_input.descriptions[share]
    assert told.description == f"kind '{said}', its share of the last few order events"
    if grade != "{amount}":  # the placeholder of the share itself
        assert told.text(0.5) == f"kind '{said}' in 50% of the last few order events"
