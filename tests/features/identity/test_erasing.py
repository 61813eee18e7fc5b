"""Rows about the identity of forgotten customers go; those of all others stay."""

from __future__ import annotations

import pytest

from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.erasing import erase_identity_rows, stop_moving
from features.ledger import tables
from tests.features.live import NOW, add, rows

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
