"""May we? Each action is either kept or removed, by a rule that says its name."""

from __future__ import annotations

import pytest

from features.errors import InvalidRequest
from serving.contract import DecideRequest
from serving.eligibility import eligible


def ask(**fields: object) -> DecideRequest:
    return DecideRequest.model_validate({"customer_id": "c1", "channel": "app"} | fields)


def test_what_the_channel_can_show_stays_in_the_order_of_the_catalogue(toy_catalog):
    kept, removed = eligible(toy_catalog, ask())
    assert kept == ["call_back", "discount"]
    [gone] = removed
    assert (gone.action_id, gone.rule) == ("talk_plus", "treatments")
    assert gone.reason == "it has no treatment for app"


def test_only_what_the_caller_asks_for_stays(toy_catalog):
    kept, removed = eligible(toy_catalog, ask(actions=("discount",)))
    assert kept == ["discount"]
    assert {r.action_id: r.rule for r in removed} == {
        "call_back": "request.actions",
        "talk_plus": "treatments",
    }


def test_what_the_caller_excludes_goes(toy_catalog):
    kept, removed = eligible(toy_catalog, ask(exclude=("call_back",)))
    assert kept == ["discount"]
    assert {r.action_id: r.rule for r in removed} == {
        "call_back": "request.exclude",
        "talk_plus": "treatments",
    }


def test_excluding_wins_over_asking(toy_catalog):
    both = ask(actions=("call_back", "discount"), exclude=("call_back",))
    assert eligible(toy_catalog, both)[0] == ["discount"]


@pytest.mark.parametrize("actions", [(), ("no_action",)])
def test_asking_for_nothing_leaves_nothing(toy_catalog, actions):
    kept, removed = eligible(toy_catalog, ask(actions=actions))
    assert kept == []
    assert len(removed) == 3


@pytest.mark.parametrize("channel", ["app", "phone"])
def test_each_action_is_kept_or_removed_once(toy_catalog, channel):
    kept, removed = eligible(toy_catalog, ask(channel=channel, exclude=("discount", "no_action")))
    assert sorted([*kept, *(r.action_id for r in removed)]) == sorted(toy_catalog.actions)


@pytest.mark.parametrize("field", ["actions", "exclude"])
def test_an_action_that_does_not_exist_is_named_with_those_that_do(toy_catalog, field):
    message = f"{field} has 'dicsount'. .*Use some of: call_back, discount, talk_plus"
    with pytest.raises(InvalidRequest, match=message):
        eligible(toy_catalog, ask(**{field: ("discount", "dicsount")}))
