"""Keys that are named together join: named keys are linked, devices change hands."""

from __future__ import annotations

import pytest

from features.identity.joining import join_keys, join_loaded
from features.identity.keys import KeyNormalizer
from features.identity.links import keys_of
from features.identity.logins import Login
from features.ledger import tables
from tests.features.live import DAY, NOW, SHOP, add, customer, rows, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NORMALIZER = KeyNormalizer(SHOP)


def load(ledger, *pairs):
    return ledger.write_now(lambda c: join_loaded(c, NORMALIZER, pairs, "the table", NOW))


def log_in(ledger, holder, at, key="cookie:1", **causes):
    login = Login(key, tables.micros(at), f"e-{holder}", holder, "an event")
    return ledger.write_now(lambda c: join_keys(c, NORMALIZER, causes, [login], NOW))


def whose(ledger):
    return {row.event_id: row.customer_id for row in rows(ledger, tables.events)}


def test_links_of_named_keys_are_made_before_devices_change_hands(ledger):
    log_in(ledger, "c1", NOW - DAY)
    add(ledger, tables.events, stored("v", "c1", NOW, subject="cookie:1"))
    add(ledger, tables.events, stored("m", "email:a@b.it", NOW - 2 * DAY))
    login = Login("cookie:1", tables.micros(NOW), "e2", "email:a@b.it", "event e2")
    causes = {("c2", "email:a@b.it"): "event e2"}
    done = ledger.write_now(lambda c: join_keys(c, NORMALIZER, causes, [login], NOW))
    assert done.merges == [("c2", "email:a@b.it", True, None, NOW - 2 * DAY)]
    assert done.reassigned == [("c1", "c2", NOW)]
    assert whose(ledger) == {"v": "c2", "m": "c2"}
    [candidate] = rows(ledger, tables.merge_candidates)
    assert (candidate.left, candidate.right, candidate.via, candidate.found_at) == (
        *("c1", "email:a@b.it", "cookie:1"),
        NOW,
    )
    links = {(row.left, row.right): row.cause for row in rows(ledger, tables.links)}
    assert links["cookie:1 email:a@b.it", "email:a@b.it"] == "event e2"


def test_two_logins_of_one_customer_are_no_candidate(ledger):
    load(ledger, ("c1", "email:a@b.it"))
    log_in(ledger, "c1", NOW - DAY)
    log_in(ledger, "email:a@b.it", NOW)
    assert rows(ledger, tables.merge_candidates) == []
    assert ledger.read(lambda c: keys_of(c, "c1")) == [
        *("c1", "email:a@b.it", "cookie:1", "cookie:1 email:a@b.it")
    ]


@pytest.mark.parametrize("pair", [("c1", "cookie:1"), ("cookie:1", "c1")])
def test_whoever_has_a_device_by_a_table_holds_it_from_ever(ledger, pair):
    add(ledger, tables.events, stored("v", "cookie:1", tables.EPOCH, subject="cookie:1"))
    load(ledger, pair)
    [row] = rows(ledger, tables.logins)
    assert (row.key, row.holder, row.at) == ("cookie:1", "c1", tables.EPOCH)
    assert row.event_id == "link c1"
    assert whose(ledger) == {"v": "c1"}


def test_a_login_before_the_table_was_read_still_counts_from_its_time_on(ledger):
    log_in(ledger, "c2", NOW - DAY)
    for number, at in enumerate([NOW - 2 * DAY, NOW]):
        add(ledger, tables.events, stored(f"v{number}", "c2", at, subject="cookie:1"))
    done = load(ledger, ("c1", "cookie:1"))
    assert done.reassigned == [("c2", "c1", NOW - 2 * DAY)]
    assert whose(ledger) == {"v0": "c1", "v1": "c2"}
    assert load(ledger, ("c1", "cookie:1")) == ([], [])
    assert customer(ledger, "cookie:1") == "c2"


def test_named_keys_of_a_table_merge_and_two_devices_do_not(ledger):
    load(ledger, ("c1", "card:1"), ("cookie:1", "cookie:2"), ("card:1", "cookie:2"))
    # Sorted: PostgreSQL may return rows without an order in any.
    assert sorted((row.left, row.right) for row in rows(ledger, tables.links)) == [
        ("c1", "card:1") if "c1" < "card:1" else ("card:1", "c1"),
        ("card:1", "cookie:2"),
    ]
    assert customer(ledger, "cookie:1") == "cookie:1"
    assert customer(ledger, "cookie:2") == "c1"
