"""Logins give a device to whoever logged in last, in whichever order the logins arrive."""

from __future__ import annotations

from itertools import permutations

import pytest
import sqlalchemy as sa

from features.identity import logins
from features.identity.joining import join_keys
from features.identity.keys import KeyNormalizer
from features.identity.logins import SHARED, Login, NewLogins
from features.ledger import tables
from features.ledger.statements import execute_text
from tests.features.live import MINUTE, NOW, SHOP, add, customer, rows, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NORMALIZER = KeyNormalizer(SHOP)
KIOSK = "cookie:kiosk"


def login(source, holder, minute, key=KIOSK):
    at_us = tables.micros(NOW + minute * MINUTE)
    return Login(key, at_us, source, holder, f"event {source}")


def log_in(ledger, *logins):
    """Store logins with their links; the rows that went to another customer."""
    return ledger.write_now(lambda c: join_keys(c, NORMALIZER, {}, logins, NOW)).reassigned


def looked(ledger, *minutes, who=KIOSK, node=KIOSK):
    """Events on the device, stored under a node of a customer."""
    at = {n: NOW + n * MINUTE for n in minutes}
    add(ledger, tables.events, *(stored(f"v{n}", who, at[n], subject=node) for n in minutes))


def whose(ledger):
    """The customer and the node of each event, in the order of time."""
    found = sorted(rows(ledger, tables.events), key=lambda row: row.occurred_at)
    return [(row.customer_id, row.subject) for row in found]


def candidates(ledger):
    found = rows(ledger, tables.merge_candidates)
    return sorted((row.left, row.right, row.via, row.reason) for row in found)


def test_whoever_logs_in_first_gets_the_device_and_what_happened_on_it(ledger):
    looked(ledger, -5, 5)
    assert log_in(ledger, login("e1", "c1", 0)) == []  # a merge moves the rows
    assert whose(ledger) == [("c1", KIOSK), ("c1", KIOSK)]
    [row] = rows(ledger, tables.logins)
    assert (row.key, row.at, row.event_id) == (KIOSK, NOW, "e1")
    assert (row.holder, row.node, row.void) == ("c1", KIOSK, False)


def test_a_late_login_takes_over_only_the_time_until_the_next(ledger):
    log_in(ledger, login("e1", "c1", 0), login("e9", "c3", 30))
    looked(ledger, 5, 10, 20, who="c1")
    looked(ledger, 30, who="c3", node="cookie:kiosk c3")
    assert log_in(ledger, login("e2", "c2", 10)) == [("c1", "c2", NOW + 10 * MINUTE)]
    assert whose(ledger) == [
        ("c1", KIOSK),
        *[("c2", "cookie:kiosk c2")] * 2,
        ("c3", "cookie:kiosk c3"),
    ]


def test_a_login_before_all_others_takes_what_happened_before_the_next(ledger):
    log_in(ledger, login("e1", "c1", 10))
    looked(ledger, -5, 5, 10, who="c1")
    assert log_in(ledger, login("e0", "c0", 0)) == [("c1", "c0", NOW - 5 * MINUTE)]
    assert whose(ledger) == [*[("c0", "cookie:kiosk c0")] * 2, ("c1", KIOSK)]


TIED = (login("a", "c1", 0), login("b", "c2", 0), login("c", "c1", 0), login("d", "c3", 0))


@pytest.mark.parametrize(
    "arriving", [*permutations(TIED)], ids=lambda some: "".join(one.source for one in some)
)
def test_of_logins_at_one_time_the_first_has_what_was_before_and_the_last_the_rest(
    ledger, arriving
):
    looked(ledger, -5, 0, 5)
    for one in arriving:
        log_in(ledger, one)
    assert [who for who, _ in whose(ledger)] == ["c1", "c3", "c3"]
    assert customer(ledger, KIOSK) == "c3"


def test_a_login_of_the_last_holder_at_the_same_time_may_still_be_the_first(ledger):
    looked(ledger, -5, 5)
    log_in(ledger, login("m", "c2", 0))
    log_in(ledger, login("z", "c1", 0))
    assert [who for who, _ in whose(ledger)] == ["c2", "c1"]
    assert log_in(ledger, login("a", "c1", 0)) == [("c2", "c1", NOW - 5 * MINUTE)]
    assert [who for who, _ in whose(ledger)] == ["c1", "c1"]


def test_the_same_login_again_changes_nothing(ledger):
    both = login("e1", "c1", 0), login("e2", "c2", 10)
    log_in(ledger, *both)
    before = sorted(rows(ledger, tables.logins))
    assert log_in(ledger, *both) == []
    assert sorted(rows(ledger, tables.logins)) == before


def test_the_nodes_to_be_linked_are_named_before_they_are_stored(ledger):
    log_in(ledger, login("e1", "c1", 0))
    logins = [login("e2", "c2", 5), login("e3", "c1", 9), login("e4", "c2", 9, key="cookie:2")]
    new = ledger.read(lambda c: NewLogins(c, NORMALIZER, logins))
    assert new.links == {
        ("c2", "cookie:kiosk c2"): "event e2",
        ("c1", KIOSK): "event e3",
        ("c2", "cookie:2"): "event e4",
    }


def test_logins_of_an_undone_link_stay_void(ledger):
    log_in(ledger, login("e1", "c1", 0), login("e2", "c2", 10))
    undo = sa.update(tables.logins).where(tables.logins.c.holder == "c2").values(void=True)
    ledger.write_now(lambda c: c.execute(undo))
    looked(ledger, 25, who="c1")
    assert log_in(ledger, login("e3", "c2", 20)) == []
    assert log_in(ledger, login("e4", "c2", 22), login("e5", "c1", 21)) == []
    assert whose(ledger) == [("c1", KIOSK)]
    assert {row.event_id: row.void for row in rows(ledger, tables.logins)} == {
        "e1": False,
        "e2": True,
        "e3": True,
        "e4": True,
        "e5": False,
    }


def test_a_forgotten_holder_gives_nothing_to_a_late_login(ledger):
    gone = {"key": KIOSK, "at": NOW, "event_id": "h", "holder": "", "node": "", "void": False}
    add(ledger, tables.logins, gone)
    assert log_in(ledger, login("e1", "c1", 10)) == []
    assert [row.node for row in rows(ledger, tables.logins)] == ["", "cookie:kiosk c1"]
    assert candidates(ledger) == []


def test_two_who_hold_a_device_after_each_other_may_be_one(ledger):
    log_in(ledger, login("e1", "c1", 0))
    assert candidates(ledger) == []
    log_in(ledger, login("e3", "c3", 20))
    log_in(ledger, login("e2", "c2", 10))
    assert candidates(ledger) == [
        ("c1", "c2", KIOSK, "device"),
        ("c1", "c3", KIOSK, "device"),
        ("c2", "c3", KIOSK, "device"),
    ]


def test_a_public_device_is_no_sign_that_two_are_one(ledger):
    for n in range(SHARED + 2):
        log_in(ledger, login(f"e{n}", f"c{n}", n))
    assert SHARED == 5
    assert candidates(ledger) == [(f"c{n}", f"c{n + 1}", KIOSK, "device") for n in range(4)]


def test_the_logins_of_a_holder_on_a_device_with_many_are_found_by_both(ledger):
    def search(connection):
        if connection.dialect.name == "postgresql":
            [index] = sa.inspect(connection).get_indexes("logins")
            return index["name"], index["column_names"]
        compiled = logins._STORED._compile(connection.dialect)
        values = compiled.driver_values({"pairs": "[]"})
        plan = execute_text(connection, "EXPLAIN QUERY PLAN " + compiled.text, values)
        return sum("logins_of_holder (holder=? AND key=?)" in row[3] for row in plan)

    assert ledger.read(search) in (2, ("logins_of_holder", ["holder", "key"]))
