"""Whoever logged in last holds a device, at each time; a key of nobody stands for itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.identity.holders import base_key, base_keys, node_for, nodes_at, present_nodes
from features.ledger import tables
from tests.features.live import MINUTE, NOW, add

pytestmark = pytest.mark.databases("sqlite", "postgresql")

KIOSK = "cookie:kiosk"


def login(event_id, holder, at, node=None, **more):
    row = {"key": KIOSK, "at": at, "event_id": event_id, "holder": holder, "void": False}
    return row | {"node": node_for(KIOSK, holder) if node is None else node} | more


def held(ledger, *times):
    found = ledger.read(lambda c: nodes_at(c, [(KIOSK, at) for at in times]))
    return [found[KIOSK, at] for at in times]


def test_a_node_names_its_device_and_its_holder_and_stands_for_the_device():
    assert node_for(KIOSK, "c2") == "cookie:kiosk c2"
    assert base_key("cookie:kiosk c2") == base_key(KIOSK) == KIOSK
    assert base_keys(["c1", "cookie:kiosk c2", KIOSK, "card:1"]) == ["c1", KIOSK, "card:1"]


def test_a_device_is_held_from_a_login_on_until_the_next(ledger):
    add(
        ledger,
        tables.logins,
        login("e1", "c1", NOW, node=KIOSK),
        login("e2", "c2", NOW + 10 * MINUTE),
    )
    us = timedelta(microseconds=1)
    times = [NOW, NOW + 10 * MINUTE - us, NOW + 10 * MINUTE, NOW + 99 * MINUTE]
    assert held(ledger, *times) == [KIOSK, KIOSK, "cookie:kiosk c2", "cookie:kiosk c2"]


def test_whoever_logged_in_first_also_holds_the_device_before(ledger):
    add(ledger, tables.logins, login("e1", "c1", NOW), login("e2", "c2", NOW + MINUTE))
    assert held(ledger, tables.EPOCH, NOW - MINUTE) == ["cookie:kiosk c1"] * 2


def test_of_two_logins_at_one_time_the_larger_id_is_later(ledger):
    add(ledger, tables.logins, login("e2", "c1", NOW), login("e10", "c2", NOW))
    assert held(ledger, NOW - MINUTE, NOW, NOW + MINUTE) == [
        "cookie:kiosk c2",
        "cookie:kiosk c1",
        "cookie:kiosk c1",
    ]
    present = ledger.read(lambda c: present_nodes(c, [KIOSK]))
    assert present == {KIOSK: "cookie:kiosk c1"}


def test_logins_of_undone_links_do_not_count(ledger):
    add(ledger, tables.logins, login("e1", "c1", NOW - MINUTE, void=True), login("e2", "c2", NOW))
    add(ledger, tables.logins, login("e3", "c3", NOW + MINUTE, void=True))
    times = [NOW - 2 * MINUTE, NOW - MINUTE, NOW + 2 * MINUTE]
    assert held(ledger, *times) == ["cookie:kiosk c2"] * 3
    present = ledger.read(lambda c: present_nodes(c, [KIOSK]))
    assert present == {KIOSK: "cookie:kiosk c2"}


def test_keys_that_nobody_logged_in_on_are_their_own_nodes(ledger):
    add(ledger, tables.logins, login("e1", "c1", NOW, void=True))
    keys = [KIOSK, "cookie:other", "c1"]
    assert ledger.read(lambda c: present_nodes(c, keys)) == {key: key for key in keys}
    assert ledger.read(lambda c: nodes_at(c, [(key, NOW) for key in keys])) == {
        (key, NOW): key for key in keys
    }
    assert ledger.read(lambda c: nodes_at(c, [])) == {}


def test_a_forgotten_holder_has_an_empty_node(ledger):
    add(ledger, tables.logins, login("e1", "c1", NOW), login("h", "", NOW + MINUTE, node=""))
    assert held(ledger, NOW, NOW + MINUTE) == ["cookie:kiosk c1", ""]
    assert ledger.read(lambda c: present_nodes(c, [KIOSK])) == {KIOSK: ""}
