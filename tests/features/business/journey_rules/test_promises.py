"""The keys of a promise say which template it is of, and which time it allows."""

import pytest
from pydantic import ValidationError

from features.business.journey_rules.promises import DAY_US, HOUR_US, TEMPLATES, Promise

AT = {"property": "promised_at"}


@pytest.mark.parametrize(
    ("written", "template", "time_us"),
    [
        ({"after": "a", "comes": "b", "within_days": 3}, "response", 3 * DAY_US),
        ({"after": "a", "comes": "b", "within_hours": 1.5}, "response", 5_400_000_000),
        ({"after": "a", "comes": "b", "within": AT, "else_days": 2}, "response", 2 * DAY_US),
        ({"before": "b", "comes": "a"}, "precedence", None),
        ({"before": "b", "comes": "a", "at_least_hours": 12}, "precedence", 12 * HOUR_US),
        ({"before": "b", "comes": "a", "at_least_days": 0.5}, "precedence", 12 * HOUR_US),
        ({"never": "a"}, "absence", None),
        ({"never": "a", "within_days": 7}, "absence", 7 * DAY_US),
        ({"no_more_than": 0, "of": "a"}, "at_most", None),
        ({"no_more_than": 2, "of": "a", "within_hours": 1}, "at_most", HOUR_US),
        ({"never": "a", "after": "a", "within_days": 7}, "never_again", 7 * DAY_US),
        ({"after": "a", "next": "b", "within_hours": 1}, "chain", HOUR_US),
    ],
)
def test_the_keys_say_the_template_and_the_time(written, template, time_us):
    promise = Promise(**written, words="In plain words.", owner="somebody")
    assert (promise.template, promise.time_us) == (template, time_us)
    assert template in TEMPLATES
    steps = ("after", "before", "comes", "next", "never", "of")
    assert promise.steps == {key: written[key] for key in steps if key in written}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "one of: after and comes"),
        ({"after": "a"}, "one of: after and comes"),
        ({"after": "a", "comes": "b", "before": "c", "within_days": 1}, "one of: after and comes"),
        ({"never": "a", "no_more_than": 1, "of": "a"}, "one of: after and comes"),
        ({"never": "a", "within": AT, "else_days": 1}, "one of: after and comes"),
        ({"after": "a", "comes": "b"}, "within_days: a number of days, or within_hours of hours"),
        ({"after": "a", "next": "b"}, "within_days: a number of days"),
        ({"never": "a", "after": "a"}, "within_days: a number of days"),
        (
            {"after": "a", "comes": "b", "within_days": 1, "within_hours": 2},
            "within_hours: nothing, as within_days says the time",
        ),
        (
            {"before": "b", "comes": "a", "within_days": 1},
            "within_days: nothing; at_least_hours says how long before",
        ),
        (
            {"before": "b", "comes": "a", "at_least_days": 1, "at_least_hours": 1},
            "at_least_hours: nothing, as at_least_days says the time",
        ),
        ({"after": "a", "comes": "b", "within": AT}, "else_days: a number beside 'within'"),
        (
            {"after": "a", "comes": "b", "within_days": 1, "else_days": 1},
            "else_days: a number beside 'within', and only there",
        ),
        ({"no_more_than": -1, "of": "a"}, "greater than or equal to 0"),
        ({"after": "a", "comes": "b", "within_days": 0}, "greater than 0"),
        ({"after": "", "comes": "b", "within_days": 1}, "at least 1 character"),
        ({"never": "a", "soon": 1}, "Extra inputs"),
    ],
)
def test_a_promise_is_of_one_template_with_its_time(written, said):
    with pytest.raises(ValidationError, match=said):
        Promise(**written)
