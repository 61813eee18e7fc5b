"""Rows about the identity of forgotten customers go; those of all others stay."""

from __future__ import annotations

import pytest

from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.erasing import (
    FIRST,
    LAST,
    devices_of_others,
    erase_identity_rows,
    release_devices,
    stop_moving,
)
from features.identity.holders import nodes_at
from features.identity.tombstones import hash_keys
from features.ledger import tables
from tests.features.live import MINUTE, NOW, add, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def pairs(ledger, table):
    return sorted((row.left, row.right) for row in rows(ledger, table))


def test_candidates_go_with_either_key_and_with_the_identifier_of_both(ledger):
    found = [
        MergeCandidate.of("ann", "bob", "cookie:1", "device"),
        MergeCandidate.of("bob", "ann2", "cookie:1", "device"),
        MergeCandidate.of("bob", "cid", "email:ann@x.it", "personal"),
        MergeCandidate.of("bob", "dan", "cookie:1", "device"),
    ]
    ledger.write_now(lambda c: note_candidates(c, found, NOW))
    ledger.write_now(lambda c: erase_identity_rows(c, ["ann", "email:ann@x.it"]))
    assert pairs(ledger, tables.merge_candidates) == [("ann2", "bob"), ("bob", "dan")]


def test_candidates_of_others_on_a_shared_device_stay(ledger):
    found = [
        MergeCandidate.of(*pair, "cookie:1", "device") for pair in (("ann", "bob"), ("bob", "cid"))
    ]
    ledger.write_now(lambda c: note_candidates(c, found, NOW))
    ledger.write_now(lambda c: erase_identity_rows(c, ["ann", "cookie:1"], {"cookie:1"}))
    assert pairs(ledger, tables.merge_candidates) == [("bob", "cid")]


def test_links_go_with_either_key_also_undone_ones(ledger):
    for left, right, undone_at in (
        ("ann", "card:1", None),
        ("bob", "email:ann@x.it", NOW),
        ("bob", "card:2", None),
    ):
        row = {"left": left, "right": right, "linked_at": NOW, "cause": "told an agent"}
        add(ledger, tables.links, row | {"undone_at": undone_at})
    ledger.write_now(lambda c: erase_identity_rows(c, ["ann", "email:ann@x.it"]))
    assert pairs(ledger, tables.links) == [("bob", "card:2")]


def test_changed_attributes_go_with_their_key(ledger):
    for key in ("ann", "bob"):
        row = {"customer_id": key, "name": "plan", "from_at": NOW, "value": '"plus"'}
        add(ledger, tables.attribute_changes, row)
    ledger.write_now(lambda c: erase_identity_rows(c, ["ann"]))
    assert [row.customer_id for row in rows(ledger, tables.attribute_changes)] == ["bob"]


def test_rows_that_are_still_under_others_are_named_and_move_no_more(ledger):
    for customer_id, subject in (("was", "card:1"), ("ann", "card:1"), ("ann", "card:2")):
        row = {"customer_id": customer_id, "subject": subject, "after_us": 0}
        add(ledger, tables.relocations, row)
    assert ledger.write_now(lambda c: stop_moving(c, ["ann", "card:1"])) == [("was", "card:1")]
    assert [row.subject for row in rows(ledger, tables.relocations)] == ["card:2"]


KIOSK, PHONE = "cookie:kiosk", "cookie:phone"


def log_in(ledger, event_id, holder, minute=0, key=KIOSK, **more):
    row = {"key": key, "at": NOW + minute * MINUTE, "event_id": event_id, "holder": holder}
    add(ledger, tables.logins, row | {"node": f"{key} {holder}", "void": False} | more)


def release(ledger, *keys):
    return ledger.write_now(lambda c: release_devices(c, keys))


def logins(ledger):
    return sorted((row.at, row.event_id, row.node) for row in rows(ledger, tables.logins))


def hashed(ledger, event_id):
    [found] = ledger.read(lambda c: hash_keys(c, [event_id]))
    return found


def held(ledger, *minutes):
    found = ledger.read(lambda c: nodes_at(c, [(KIOSK, NOW + n * MINUTE) for n in minutes]))
    return [found[KIOSK, NOW + n * MINUTE].removeprefix(f"{KIOSK} ") for n in minutes]


def test_the_time_of_a_forgotten_holder_is_kept_without_name_and_event(ledger):
    log_in(ledger, "e1", "bob", 0)
    log_in(ledger, "e2", "ann", 10)
    log_in(ledger, "e3", "email:ann@x.it", 20)
    log_in(ledger, "e4", "bob", 30)
    log_in(ledger, "e5", "ann", 0, key=PHONE)
    assert release(ledger, "ann", "email:ann@x.it", f"{KIOSK} ann", PHONE) == {KIOSK}
    assert logins(ledger) == [
        (NOW, "e1", f"{KIOSK} bob"),
        (NOW + 10 * MINUTE, FIRST + hashed(ledger, "e2"), ""),
        (NOW + 20 * MINUTE, FIRST + hashed(ledger, "e3"), ""),
        (NOW + 30 * MINUTE, "e4", f"{KIOSK} bob"),
    ]
    assert {row.holder for row in rows(ledger, tables.logins)} == {"bob", ""}
    assert held(ledger, -5, 5, 10, 25, 30) == ["bob", "bob", "", "", "bob"]


def test_logins_at_one_time_stay_in_their_order(ledger):
    for minute, ann in ((0, "0"), (10, "z"), (20, "c")):
        log_in(ledger, "b", "bob", minute)
        log_in(ledger, "d", "dan", minute)
        log_in(ledger, ann, "ann", minute)
    assert held(ledger, -5, 5, 15, 25) == ["ann", "dan", "ann", "dan"]
    release(ledger, "ann")
    assert held(ledger, -5, 5, 15, 25) == ["", "dan", "", "dan"]
    found = [one[1] for one in logins(ledger) if not one[2]]
    assert found == [FIRST + hashed(ledger, "0"), LAST + hashed(ledger, "z")]  # c held nothing


def test_a_void_login_at_the_same_time_does_not_place_one_between(ledger):
    log_in(ledger, "a", "dan", 0, void=True)
    log_in(ledger, "b", "ann", 0)
    log_in(ledger, "c", "bob", 0)
    release(ledger, "ann")
    assert held(ledger, -5, 0) == ["", "bob"]


def test_a_void_login_of_a_forgotten_holder_goes(ledger):
    log_in(ledger, "e1", "bob", 0)
    log_in(ledger, "e2", "ann", 10, void=True)
    release(ledger, "ann")
    assert logins(ledger) == [(NOW, "e1", f"{KIOSK} bob")]


def test_a_device_goes_with_the_last_of_its_holders(ledger):
    log_in(ledger, "e1", "bob", 0)
    log_in(ledger, "e2", "ann", 10)
    assert release(ledger, "ann") == {KIOSK}
    assert release(ledger, "bob", f"{KIOSK} bob") == set()
    assert rows(ledger, tables.logins) == []


def test_a_device_is_of_others_as_long_as_one_of_them_is_not_forgotten(ledger):
    log_in(ledger, "e1", "bob", 0)
    log_in(ledger, "h", "", 0, key=PHONE, node="")
    keys = [KIOSK, PHONE, "cookie:new", "bob"]
    assert ledger.read(lambda c: devices_of_others(c, keys)) == {KIOSK}
