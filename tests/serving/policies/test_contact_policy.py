"""Each rule of the contact policy removes the actions in its scope, and gives the reason."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from features.customers.account_contacts import ShowingsWindow
from features.customers.contacts import Contact
from features.journeys.model_input import ModelInput
from features.ledger.tables import micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import ContactFacts
from serving.policies.contact_policy import ContactPolicy
from tests.serving.fakes import changed

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
GROUPS = {
    "promotion": {"kind": "promotion", "purpose": "marketing"},
    "service": {"kind": "service"},
}
ALL_PROMOTIONS = {"discount", "talk_plus"}


def contact(action, days_ago, channel="app", customer="c1", **said):
    """One showing; ``said`` by outcome, in days ago."""
    group = "service" if action == "call_back" else "promotion"
    at = {name: micros(NOW - timedelta(days=days)) for name, days in said.items()}
    return Contact(customer, action, group, channel, micros(NOW - timedelta(days=days_ago)), at)


@pytest.fixture
def evaluate(toy_domain, toy_catalog):
    """Apply a contact policy after some contacts; the removed actions with their reasons."""

    def removed(policy, contacts=(), shown_now=(), **facts):
        parts = {
            "groups": GROUPS,
            "purposes": {"marketing": {}},
            "contact_policy": policy,
            "outcomes": toy_catalog.model_dump()["outcomes"] | {"shown": {"acceptance": None}},
        }
        compiled = CompiledCatalog(
            changed(toy_catalog, **parts), toy_domain, ModelInput(toy_domain)
        )
        defaults = {"customer_id": "c1", "channel": "app", "now": NOW, "local": NOW}
        defaults |= {"consents": {"marketing": True}, "contacts": list(contacts)}
        contact_policy_result = ContactPolicy(compiled).evaluate(ContactFacts(**defaults | facts))
        for name in shown_now:
            contact_policy_result.count(compiled.index[name])
        out = [
            name
            for name, gone in zip(compiled.actions, contact_policy_result.out, strict=True)
            if gone
        ]
        return {name: contact_policy_result.why(compiled.index[name]) for name in out}

    return removed


@pytest.mark.parametrize(
    ("after", "window"),
    [
        ([{"after": ["rejected"]}], ShowingsWindow(0, 2)),
        ([{"after": ["rejected"]}, {"after_showings": 3}], ShowingsWindow(3 + 14, 2)),
    ],
)
def test_showings_of_an_account_are_read_by_their_outcomes_or_as_far_back_as_one_may_come(
    toy_domain, toy_catalog, after, window
):
    """A cool-down begins with an outcome, whenever the showing was; one after showings in vain,
    with a showing, which may have an outcome for 14 days, the longest window."""
    rules = [{"days": 2 + number, "per": "account", **one} for number, one in enumerate(after)]
    catalog = changed(toy_catalog, contact_policy={"cool_downs": rules})
    policy = ContactPolicy(CompiledCatalog(catalog, toy_domain, ModelInput(toy_domain)))
    assert policy.of_account("app") == ([], window)
    assert policy.reaction_days == 2
    assert policy.per_account


def test_without_rules_nothing_is_out(evaluate):
    assert evaluate({}, [contact("discount", 0.1)] * 50) == {}


class TestCaps:
    def test_of_a_group_counts_its_actions_together(self, evaluate):
        policy = {"caps": [{"at_most": 2, "days": 7, "groups": ["promotion"]}]}
        once = [contact("discount", 6.9), contact("call_back", 1), contact("call_back", 1)]
        assert evaluate(policy, once) == {}
        found = evaluate(policy, [*once, contact("talk_plus", 1, channel="phone")])
        assert set(found) == ALL_PROMOTIONS
        assert found["discount"].rule == "contact_policy.caps.0"
        assert found["discount"].value == 2
        assert found["discount"].reason == (
            "2 of at most 2 contacts in 7 days; free again 2026-11-22 12:24 UTC"
        )

    def test_of_each_action_counts_it_by_itself(self, evaluate):
        policy = {"caps": [{"at_most": 1, "days": 7, "each": ["action"]}]}
        assert set(evaluate(policy, [contact("discount", 1)])) == {"discount"}

    def test_of_each_group(self, evaluate):
        policy = {"caps": [{"at_most": 1, "days": 7, "each": ["group"]}]}
        assert set(evaluate(policy, [contact("talk_plus", 1)])) == ALL_PROMOTIONS

    @pytest.mark.parametrize(("channel", "out"), [("phone", 3), ("app", 0)])
    def test_of_a_channel_removes_only_there(self, evaluate, channel, out):
        policy = {"caps": [{"at_most": 1, "days": 7, "channels": ["phone"]}]}
        found = evaluate(policy, [contact("call_back", 1, channel="phone")], channel=channel)
        assert len(found) == out

    def test_of_each_channel_counts_only_where_we_are(self, evaluate):
        policy = {"caps": [{"at_most": 1, "days": 7, "each": ["channel"]}]}
        contacts = [contact("call_back", 1, channel="phone")]
        assert evaluate(policy, contacts, channel="app") == {}
        assert len(evaluate(policy, contacts, channel="phone")) == 3

    @pytest.mark.parametrize(
        ("direction", "channel", "out"),
        [
            ("outbound", "phone", 3),
            ("outbound", "app", 0),
            ("inbound", "app", 0),
            (None, "app", 3),
        ],
    )
    def test_of_one_direction(self, evaluate, direction, channel, out):
        cap = {"at_most": 1, "days": 7} | ({"direction": direction} if direction else {})
        policy = {"outbound": ["phone"], "caps": [cap]}
        found = evaluate(policy, [contact("call_back", 1, channel="phone")], channel=channel)
        assert len(found) == out

    def test_a_window_rolls(self, evaluate):
        policy = {"caps": [{"at_most": 1, "days": 7, "each": ["action"]}]}
        second = 1 / 86400
        assert evaluate(policy, [contact("discount", 7)]) == {}
        assert set(evaluate(policy, [contact("discount", 7 - second)])) == {"discount"}

    def test_at_most_none_is_never(self, evaluate):
        policy = {"caps": [{"at_most": 0, "days": 7, "actions": ["discount"]}]}
        assert set(evaluate(policy)) == {"discount"}

    def test_what_colleagues_were_shown_counts_per_account_only(self, evaluate):
        theirs = [contact("discount", 1, customer="c2")]
        cap = {"at_most": 1, "days": 7, "groups": ["promotion"]}
        assert evaluate({"caps": [cap]}, theirs) == {}
        assert set(evaluate({"caps": [cap | {"per": "account"}]}, theirs)) == ALL_PROMOTIONS

    def test_what_this_decision_shows_counts_for_its_other_slots(self, evaluate):
        policy = {"caps": [{"at_most": 1, "days": 7, "kinds": ["promotion"]}]}
        assert set(evaluate(policy, shown_now=["discount"])) == ALL_PROMOTIONS
        assert evaluate(policy, shown_now=["call_back"]) == {}

    def test_an_action_that_left_the_catalogue_still_counts_for_its_group(self, evaluate):
        gone = contact("discount", 1)._replace(action_id="bygone")
        assert set(evaluate({"caps": [{"at_most": 1, "days": 7, "each": ["group"]}]}, [gone])) == (
            ALL_PROMOTIONS
        )


class TestCoolDowns:
    def test_a_no_rests_the_action_from_when_it_was_said(self, evaluate):
        policy = {"cool_downs": [{"after": ["rejected"], "days": 10}]}
        assert set(evaluate(policy, [contact("discount", 20, rejected=9)])) == {"discount"}
        assert evaluate(policy, [contact("discount", 20, rejected=10)]) == {}
        why = evaluate(policy, [contact("discount", 20, rejected=9)])["discount"]
        assert why.reason == "it rests 10 days after rejected, until 2026-11-23 10:00 UTC"

    def test_a_no_to_one_may_rest_its_whole_group(self, evaluate):
        policy = {"cool_downs": [{"after": ["rejected"], "days": 10, "each": ["group"]}]}
        assert set(evaluate(policy, [contact("talk_plus", 2, rejected=1)])) == ALL_PROMOTIONS

    def test_showings_in_vain_rest_it_and_a_reaction_forgives_them(self, evaluate):
        policy = {"cool_downs": [{"after_showings": 3, "days": 5}]}
        vain = [contact("discount", days) for days in (9, 8, 4)]
        assert set(evaluate(policy, vain)) == {"discount"}
        assert evaluate(policy, vain[1:]) == {}
        # An older showing is read only where a late outcome begins another rule.
        assert evaluate(policy, [contact("discount", 60, shown=1), *vain[1:]]) == {}
        shown = [contact("discount", days, shown=days) for days in (9, 8, 4)]
        assert set(evaluate(policy, shown)) == {"discount"}  # being seen is no reaction
        forgiven = [vain[0], contact("discount", 8, accepted=7), vain[2]]
        assert evaluate(policy, forgiven) == {}

    def test_the_rest_ends_after_the_last_showing(self, evaluate):
        policy = {"cool_downs": [{"after_showings": 2, "days": 5}]}
        assert evaluate(policy, [contact("discount", 7), contact("discount", 5)]) == {}
        assert set(evaluate(policy, [contact("discount", 7), contact("discount", 4.9)])) == {
            "discount"
        }


class TestQuietHours:
    @pytest.mark.parametrize(
        ("clock", "quiet"), [((20, 59), False), ((21, 0), True), ((7, 59), True), ((8, 0), False)]
    )
    def test_over_midnight(self, evaluate, clock, quiet):
        policy = {"quiet_hours": [{"from": "21:00", "until": "08:00"}]}
        local = datetime.combine(NOW.date(), time(*clock), ZoneInfo("Europe/Rome"))
        assert bool(evaluate(policy, local=local)) == quiet

    def test_at_noon_for_some_kinds_on_some_channels(self, evaluate):
        hours = {"from": "12:00", "until": "14:00", "kinds": ["promotion"], "channels": ["phone"]}
        local = NOW.replace(hour=13)
        found = evaluate({"quiet_hours": [hours]}, local=local, channel="phone")
        assert set(found) == ALL_PROMOTIONS
        assert found["discount"].reason == (
            "it is 13:00 for the customer; quiet from 12:00 until 14:00"
        )
        assert evaluate({"quiet_hours": [hours]}, local=local, channel="app") == {}


class TestSuspension:
    def test_in_a_problem_promotions_are_out_and_service_is_in(self, evaluate):
        found = evaluate({}, problems=2.0)
        assert set(found) == ALL_PROMOTIONS
        assert found["discount"].rule == "contact_policy.suspension"
        assert found["discount"].reason == (
            "the customer has 2 open problems; nothing is promoted meanwhile"
        )

    def test_a_problem_of_the_account_counts_unless_the_catalogue_says_otherwise(self, evaluate):
        found = evaluate({}, account_problems=1.0)
        assert set(found) == ALL_PROMOTIONS
        assert "somebody of the account has 1 open problem;" in found["discount"].reason
        assert evaluate({"suspension": {"per": "customer"}}, account_problems=1.0) == {}

    def test_with_unknown_features_promotions_are_out_inbound_and_all_outbound(self, evaluate):
        unknown = {"features_problem": "the online store failed"}
        outbound = {"outbound": ["phone"]}
        found = evaluate(outbound, **unknown)
        assert set(found) == ALL_PROMOTIONS
        assert found["discount"].rule == "contact_policy.suspension.features_unknown"
        assert found["discount"].reason == (
            "it is unknown whether the customer has an open problem, because the features could "
            "not be read; nothing is promoted meanwhile"
        )
        assert found["discount"].value == "the online store failed"
        sent = evaluate(outbound, channel="phone", **unknown)
        assert set(sent) == ALL_PROMOTIONS | {"call_back"}
        assert sent["call_back"].reason.endswith("nothing is sent meanwhile")

    def test_with_unknown_features_other_suspended_kinds_are_out_too(self, evaluate):
        policy = {"suspension": {"kinds": ["service"]}}
        found = evaluate(policy, features_problem="the online store failed")
        assert set(found) == ALL_PROMOTIONS | {"call_back"}

    def test_may_suspend_other_kinds(self, evaluate):
        assert set(evaluate({"suspension": {"kinds": ["service"]}}, problems=1.0)) == {"call_back"}


class TestConsent:
    @pytest.mark.parametrize("consents", [{"marketing": False}, {}])
    def test_without_it_the_purpose_is_out(self, evaluate, consents):
        found = evaluate({}, consents=consents)
        assert set(found) == ALL_PROMOTIONS
        assert found["discount"].reason == "there is no consent for marketing on app"

    def test_comes_before_all_other_rules(self, evaluate):
        found = evaluate({}, consents={}, problems=1.0)
        assert found["discount"].rule == "contact_policy.consent"
