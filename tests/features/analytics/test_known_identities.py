"""The customers of a past moment follow from links and logins as they were known then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.analytics.known_identities import Groups, KnownIdentities
from features.ledger import tables
from features.ledger.tables import micros
from tests.features.live import DAY, NOW, add, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")
BEFORE, AFTER = NOW - DAY, NOW + DAY


def key(name, customer, rank=0):
    return {"key": name, "customer_id": customer, "rank": rank}


def linked(left, right, at, undone_at=None):
    return {"left": left, "right": right, "linked_at": at, "cause": "test", "undone_at": undone_at}


def login(at, event_id, holder, node, void=False):
    row = {"key": "cookie:k", "at": at, "event_id": event_id, "holder": holder}
    return row | {"node": node, "void": void}


def known(ledger, at=NOW):
    return ledger.read(lambda c: KnownIdentities(c, micros(at)))


def test_links_count_from_when_they_were_made_until_they_were_undone(ledger):
    for one in (key("a", "a"), key("b", "b"), key("c", "a"), key("d", "d"), key("e", "d")):
        add(ledger, tables.identities, one)
    add(ledger, tables.links, linked("a", "b", BEFORE, AFTER), linked("a", "c", AFTER))
    add(ledger, tables.links, linked("d", "e", BEFORE))
    found = known(ledger)
    then = {name: found.customer(name, 0) for name in "abcdef"}
    assert then == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "d", "f": "f"}
    assert found.clusters == [["a", "b", "c"]]
    assert (found.keys("a"), found.keys("f")) == (["a", "b"], ["f"])


def test_a_link_that_was_undone_by_then_holds_if_it_was_made_again(ledger):
    for one in (key("a", "a"), key("b", "a")):
        add(ledger, tables.identities, one)
    add(ledger, tables.links, linked("a", "b", BEFORE - DAY, BEFORE), linked("a", "b", NOW))
    assert known(ledger).customer("b", 0) == "a"
    assert known(ledger, NOW - timedelta(hours=1)).customer("b", 0) == "b"


def test_a_customer_is_named_by_the_key_of_the_lowest_rank_then_the_oldest(ledger):
    for one in (key("email:x", "b", 1), key("b", "b"), key("a", "b")):
        add(ledger, tables.identities, one)
    add(ledger, tables.links, linked("a", "email:x", BEFORE), linked("b", "email:x", BEFORE))
    found = known(ledger)
    assert (found.customer("email:x", 0), found.keys("b")) == ("b", ["b", "a", "email:x"])


def test_a_device_was_held_by_the_logins_that_were_known(ledger):
    for one in (key("a", "a"), key("b", "b"), key("cookie:k", "a", 2), key("cookie:k b", "b", 2)):
        add(ledger, tables.identities, one)
    add(ledger, tables.links, linked("a", "cookie:k", BEFORE), linked("b", "cookie:k b", AFTER))
    early, late = NOW - 9 * DAY, NOW - 5 * DAY
    add(ledger, tables.events, stored("first", "a", early, received_at=early))
    add(ledger, tables.events, stored("late", "b", late, received_at=AFTER))
    add(ledger, tables.logins, login(early, "first", "a", "cookie:k"))
    add(ledger, tables.logins, login(late, "late", "b", "cookie:k b"))
    found = known(ledger)
    assert found.customer("cookie:k b", micros(NOW)) == "a"  # the login of b was not known
    assert found.clusters == [["a", "b", "cookie:k b"]]
    later = known(ledger, AFTER)
    assert [later.customer("cookie:k", micros(at)) for at in (early - DAY, late, NOW)] == [*"abb"]
    assert later.clusters == []


def test_a_login_counts_until_people_undid_it(ledger):
    for one in (key("a", "a"), key("cookie:k", "cookie:k", 2)):
        add(ledger, tables.identities, one)
    add(ledger, tables.links, linked("a", "cookie:k", BEFORE, AFTER))
    add(ledger, tables.logins, login(BEFORE, "link a", "a", "cookie:k", void=True))
    assert known(ledger).customer("cookie:k", micros(NOW)) == "a"
    assert known(ledger, AFTER).customer("cookie:k", micros(NOW)) == "cookie:k"
    assert known(ledger, BEFORE - DAY).customer("cookie:k", 0) == "cookie:k"


def test_what_happens_on_the_device_of_a_forgotten_holder_stays_where_it_is(ledger):
    add(ledger, tables.logins, login(BEFORE, " hash", "", ""))
    assert known(ledger).customer("cookie:k", micros(NOW)) == "cookie:k"


@pytest.mark.databases("sqlite")
def test_groups_are_joined_in_any_order():
    groups = Groups()
    for pair in ("ab", "cd", "bd", "ef"):
        groups.join(*pair)
    assert len({groups.first_of(one) for one in "abcd"}) == 1
    assert len({groups.first_of(one) for one in "aefg"}) == 3
