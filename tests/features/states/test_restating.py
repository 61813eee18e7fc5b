"""Customers whose past has changed are folded again, from the first event that changed."""

from __future__ import annotations

import pytest

from features.customers.profiles import account_key, members_of
from features.identity.links import Merge
from features.identity.reassignment import Reassignment
from features.journeys.events import Event
from features.ledger import tables
from features.states.checkpoints import Checkpoint, keep_checkpoints
from features.states.journey_states import JourneyStates
from features.states.restating import Restating
from features.states.stored_events import Position
from tests.features.live import (
    FOLD,
    MINUTE,
    NOW,
    add,
    folded,
    kept,
    kept_state,
    person,
    rows,
    stored,
)

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ACME, BETA = account_key("acme"), account_key("beta")


@pytest.fixture
def restating(online):
    return Restating(JourneyStates(FOLD, online.state), with_accounts=True)


def identified(ledger, **owners):
    for key, who in owners.items():
        add(ledger, tables.identities, {"key": key, "customer_id": who, "rank": 0})


def looked(ledger, who, *minutes):
    add(ledger, tables.events, *(stored(f"{who}{n}", who, NOW + n * MINUTE) for n in minutes))


def checkpointed(ledger, key, *minutes):
    """Checkpoints of states that are wrong, to see which are read."""
    for n in minutes:
        place = Position(tables.micros(NOW + n * MINUTE), "~")
        new = [Checkpoint(place, 1, b"\xff" * 16)]
        ledger.write_now(lambda c, new=new: keep_checkpoints(c, key, new, 1))


def checkpoints(ledger, key):
    found = [one for one in rows(ledger, tables.journey_checkpoints) if one.customer_id == key]
    return sorted((one.at - NOW) // MINUTE for one in found)


def after_changes(ledger, restating, merges=(), reassigned=(), new=None):
    return ledger.write_now(
        lambda c: restating.after_changes(c, [*merges], [*reassigned], new or {}, NOW)
    )


def new_event(who, minute):
    return Event(f"{who}{minute}", (who,), "view", NOW + minute * MINUTE, "web", {})


def is_folded(ledger, *keys):
    return [str(kept_state(ledger, key)) == str(folded(ledger, key)) for key in keys] == [
        True
    ] * len(keys)


def test_both_holders_and_their_accounts_are_folded_from_the_first_event_that_went(
    ledger, restating
):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "beta"), person("c3", "beta"))
    looked(ledger, "c1", 0, 10)
    looked(ledger, "c2", 5, 20)
    for key in ("c1", "c2", "c3", ACME, BETA):
        checkpointed(ledger, key, 4, 5)
    done = [Reassignment("c1", "c2", NOW + 5 * MINUTE)]
    restated = after_changes(ledger, restating, reassigned=done)
    assert restated == {"c1", "c2", ACME, BETA}
    assert {key: checkpoints(ledger, key) for key in ("c1", "c2", "c3", ACME, BETA)} == {
        **dict.fromkeys(("c1", "c2", ACME, BETA), [4]),
        "c3": [4, 5],
    }


def test_they_are_folded_as_their_events_say(ledger, restating):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "acme"))
    looked(ledger, "c1", 0, 10)
    looked(ledger, "c2", 5)
    done = [Reassignment("c1", "c2", NOW + 5 * MINUTE)]
    assert after_changes(ledger, restating, reassigned=done) == {"c1", "c2", ACME}
    assert is_folded(ledger, "c1", "c2", ACME)


def test_decisions_that_went_alone_change_no_state(ledger, restating):
    looked(ledger, "c1", 0)
    assert after_changes(ledger, restating, reassigned=[Reassignment("c1", "c2", None)]) == set()
    assert kept(ledger) == {}


def test_a_contact_that_went_counts_for_the_account_of_the_new_holder(ledger, restating):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "beta"))
    row = {"decision_id": "d", "action_id": "call", "subject": "cookie:1", "customer_id": "c2"}
    row |= {"shown_at": NOW, "channel": "web", "action_group": "g", "outcomes_at": ""}
    add(ledger, tables.contacts, row | {"account": "acme"})
    assert after_changes(ledger, restating, reassigned=[Reassignment("c1", "c2", None)]) == set()
    assert [one.account for one in rows(ledger, tables.contacts)] == ["beta"]
    assert ledger.read(lambda c: members_of(c, BETA)) == ["c2"]


def test_a_merge_with_data_is_folded_and_the_loser_is_deleted(ledger, restating):
    identified(ledger, c1="c1", c2="c1")
    looked(ledger, "c1", 0, 9)
    looked(ledger, "c2", 9)
    after_changes(ledger, restating, reassigned=[Reassignment("c1", "c2", NOW)])
    assert {*kept(ledger)} == {"c1", "c2"}
    merge = Merge("c1", "c2", True, NOW, NOW + 9 * MINUTE)
    assert after_changes(ledger, restating, [merge]) == {"c1"}
    assert {*kept(ledger)} == {"c1"}
    assert is_folded(ledger, "c1")


def test_a_merge_without_data_folds_nobody(ledger, restating):
    identified(ledger, c1="c1", c2="c1")
    assert after_changes(ledger, restating, [Merge("c1", "c2", False)]) == set()


def test_a_late_event_that_came_with_the_change_ends_later_checkpoints(ledger, restating):
    looked(ledger, "c1", 0, 10)
    checkpointed(ledger, "c1", -5, 1, 8)
    late = new_event("c1", 0)
    done = [Reassignment("c2", "c1", NOW + 7 * MINUTE)]
    assert after_changes(ledger, restating, reassigned=done, new={"c1": [late]}) == {"c1", "c2"}
    assert checkpoints(ledger, "c1") == [-5]


def test_a_split_folds_its_parts_and_deletes_who_was_one(ledger, restating):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "beta"))
    identified(ledger, c1="c1", c2="c2")
    looked(ledger, "c1", 1)
    looked(ledger, "c2", 2)
    checkpointed(ledger, "c1", 0)
    before = {"c0", ACME}
    restated = ledger.write_now(lambda c: restating.after_split(c, before, ["c1", "c2"], [], NOW))
    assert restated == {"c1", "c2", ACME, BETA}
    assert checkpoints(ledger, "c1") == []
    assert is_folded(ledger, "c1", "c2", ACME, BETA)


def test_without_a_split_only_those_are_folded_whose_events_went(ledger, restating):
    looked(ledger, "c1", 1)
    add(ledger, tables.customers, person("c3", "acme"))
    done = [Reassignment("c2", "c1", NOW + MINUTE)]
    restated = ledger.write_now(lambda c: restating.after_split(c, {"c3"}, [], done, NOW))
    assert restated == {"c1", "c2"}
    assert ledger.write_now(lambda c: restating.after_split(c, {"c3"}, [], [], NOW)) == set()


def test_accounts_are_left_alone_where_the_business_has_none(ledger, online):
    add(ledger, tables.customers, person("c1", "acme"))
    plain = Restating(JourneyStates(FOLD, online.state), with_accounts=False)
    looked(ledger, "c1", 1)
    done = [Reassignment("c2", "c1", NOW + MINUTE)]
    assert after_changes(ledger, plain, reassigned=done) == {"c1", "c2"}
    assert ledger.read(lambda c: plain.accounts_of(c, ["c1"])) == set()
    assert ledger.read(lambda c: plain.add_accounts(c, {"c1": []})) == {"c1": []}


def test_events_of_members_are_those_of_their_account_too(ledger, restating):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "acme"), person("c3"))
    one, two, three = (new_event(who, 0) for who in ("c1", "c2", "c3"))
    given = {"c1": [one], "c2": [two], "c3": [three]}
    found = ledger.read(lambda c: restating.add_accounts(c, given))
    assert found == given | {ACME: [one, two]}
