"""Tests the rules of the catalogue: what each type accepts, and its defaults."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from features.business.catalog_rules import (
    Arbitration,
    Cap,
    Clock,
    ContactPolicyRules,
    ControlGroup,
    CoolDown,
    Pacing,
    QuietHours,
    Suspension,
    Volume,
)

REFUSED = [
    (Cap, {"at_most": -1, "days": 7}, "greater than or equal to 0"),
    (Cap, {"at_most": 1, "days": 0}, "greater than 0"),
    (Cap, {"at_most": 1, "days": 7, "chanels": ["app"]}, "Extra inputs are not permitted"),
    (CoolDown, {"days": 7}, "after: outcomes, or after_showings"),
    (CoolDown, {"days": 7, "after": ["rejected"], "after_showings": 2}, "one of the two"),
    (QuietHours, {"from": "21:00+02:00", "until": "08:00"}, "without a zone"),
    (QuietHours, {"from": "08:00", "until": "08:00"}, "the rule would never apply"),
    (Clock, {"zone": "Europe/Roma"}, "a time zone such as Europe/Rome"),
    (Volume, {}, "at_most: a number, or one for at_least"),
    (Volume, {"at_most": 3, "at_least": 4}, "at_least: a number that is not above at_most"),
    (Pacing, {"hourly": [1.0] * 23}, "24 weights, one for each hour"),
    (Pacing, {"hourly": [0.0] * 24}, "not all 0"),
    (ControlGroup, {"share": 0.6}, "less than or equal to 0.5"),
]


@pytest.mark.parametrize(("rule", "content", "sentence"), REFUSED)
def test_a_rule_that_cannot_be_followed_is_refused_with_a_reason(rule, content, sentence):
    with pytest.raises(ValidationError) as caught:
        rule.model_validate(content)
    assert sentence in str(caught.value)


def test_a_scope_that_is_left_out_means_all():
    cap = Cap.model_validate({"at_most": 3, "days": 7})
    assert (cap.channels, cap.groups, cap.actions, cap.kinds, cap.direction) == ((),) * 4 + (None,)
    assert (cap.each, cap.per) == ((), "customer")


def test_a_cool_down_is_of_each_action_by_itself_unless_it_says_otherwise():
    assert CoolDown.model_validate({"after": ["rejected"], "days": 30}).each == ("action",)


def test_quiet_hours_are_written_with_from_and_until():
    hours = QuietHours.model_validate({"from": "21:00", "until": "08:00"})
    assert (hours.begin, hours.until) == (time(21), time(8))


def test_a_catalogue_of_the_past_with_empty_quiet_hours_can_still_be_read_for_replay():
    kept = '{"from": "08:00:00", "until": "08:00:00"}'
    assert QuietHours.model_validate_json(kept).until == time(8)


@pytest.mark.parametrize(
    ("named", "zone"), [("Asia/Tokyo", "Asia/Tokyo"), ("nowhere", "UTC"), (None, "UTC")]
)
def test_a_customer_has_the_zone_of_the_attribute_or_that_of_the_business(named, zone):
    clock = Clock(attribute="zone")
    assert clock.of_business == ZoneInfo("UTC")
    assert clock.of_customer(named) == ZoneInfo(zone)


def test_without_rules_promotions_are_suspended_and_nothing_else_is_limited():
    policy = ContactPolicyRules()
    assert policy.suspension == Suspension(kinds=("promotion",), per="account")
    assert (policy.caps, policy.cool_downs, policy.quiet_hours) == ((), (), ())
    assert (Arbitration().formula, ControlGroup().share) == (None, 0.02)


def test_a_rule_cannot_be_changed_once_it_was_read():
    with pytest.raises(ValidationError, match="frozen"):
        Volume(at_most=3).at_most = 4
