"""Rows of a device go to another holder: those of a span of time, with contacts of decisions."""

from __future__ import annotations

import pytest

from features.identity.reassignment import owner_of, reassign, settle
from features.ledger import derived_tables, tables
from tests.features.live import DAY, MINUTE, NOW, add, decision, rows, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")

KIOSK, NODE = "cookie:kiosk", "cookie:kiosk c2"
NOW_US, MINUTE_US = tables.micros(NOW), 60 * 10**6


@pytest.fixture(autouse=True)
def two_holders(ledger):
    """A device whose plain key is of c1, with another node of c2."""
    for key, who, rank in (("c1", "c1", 0), ("c2", "c2", 0), (KIOSK, "c1", 2), (NODE, "c2", 2)):
        add(ledger, tables.identities, {"key": key, "customer_id": who, "rank": rank})


def looked(ledger, *minutes, node=KIOSK, who="c1"):
    at = {n: NOW + n * MINUTE for n in minutes}
    add(ledger, tables.events, *(stored(f"v{n}", who, at[n], subject=node) for n in minutes))


def decided(ledger, *minutes):
    """Decisions on the device; their contacts are shown a day later."""
    for n in minutes:
        row = decision(n, KIOSK, "c1", decided_at=NOW + n * MINUTE)
        add(ledger, tables.decisions, row)
        shown = {name: row[name] for name in ("decision_id", "subject", "customer_id")}
        shown |= {"action_id": "call", "channel": "web", "action_group": "g", "outcomes_at": ""}
        add(ledger, tables.contacts, shown | {"shown_at": row["decided_at"] + DAY})


def moved(ledger, *span, source=KIOSK, target=NODE):
    return ledger.write_now(lambda c: reassign(c, source, target, *span))


def whose(ledger, table, at):
    found = sorted(rows(ledger, table), key=lambda row: getattr(row, at))
    return [(row.customer_id, row.subject) for row in found]


ONE, OTHER = ("c1", KIOSK), ("c2", NODE)


def test_the_owner_of_a_key_is_its_customer(ledger):
    owners = ledger.read(lambda c: [owner_of(c, key) for key in (KIOSK, NODE, "c1", "cookie:new")])
    assert owners == ["c1", "c2", "c1", "cookie:new"]


def test_events_go_from_the_begin_of_the_span_and_without_its_end(ledger):
    looked(ledger, 0, 5, 10, 15)
    assert moved(ledger, NOW_US + 5 * MINUTE_US, NOW_US + 15 * MINUTE_US) == [
        ("c1", "c2", NOW + 5 * MINUTE)
    ]
    assert whose(ledger, tables.events, "occurred_at") == [ONE, OTHER, OTHER, ONE]


def test_other_rows_of_the_customer_stay(ledger):
    looked(ledger, 1)
    looked(ledger, 2, node="c1")
    assert moved(ledger) == [("c1", "c2", NOW + MINUTE)]
    assert whose(ledger, tables.events, "occurred_at") == [OTHER, ("c1", "c1")]


def test_a_contact_goes_with_its_decision_whenever_it_was_shown(ledger):
    decided(ledger, 0, 5, 10)
    span = NOW_US + 5 * MINUTE_US, NOW_US + 10 * MINUTE_US
    assert moved(ledger, *span) == [("c1", "c2", None)]  # no event went: nobody is folded again
    assert whose(ledger, tables.decisions, "decided_at") == [ONE, OTHER, ONE]
    assert whose(ledger, tables.contacts, "shown_at") == [ONE, OTHER, ONE]


def test_nothing_is_told_of_an_empty_span_or_of_two_nodes_of_one_customer(ledger):
    looked(ledger, 0, 20)
    assert moved(ledger, NOW_US + 1, NOW_US + 9) == []
    add(ledger, tables.identities, {"key": "cookie:kiosk card:1", "customer_id": "c1", "rank": 2})
    assert moved(ledger, target="cookie:kiosk card:1") == []
    assert whose(ledger, tables.events, "occurred_at") == [("c1", "cookie:kiosk card:1")] * 2


def test_rows_that_wait_under_a_former_customer_go_too(ledger):
    looked(ledger, 0, who="was")
    looked(ledger, 1)
    add(ledger, tables.relocations, {"customer_id": "was", "subject": KIOSK, "after_us": 0})
    assert moved(ledger) == [("c1", "c2", NOW)]
    assert whose(ledger, tables.events, "occurred_at") == [OTHER, OTHER]


def test_the_rewards_of_both_customers_are_computed_again(ledger):
    decided(ledger, 0)
    moved(ledger)
    marked = {(row.kind, row.key) for row in rows(ledger, derived_tables.reward_marks)}
    assert marked == {("customer", "c1"), ("customer", "c2")}


def test_settled_rows_go_to_whoever_held_the_device_at_the_time_of_each(ledger):
    looked(ledger, -5, 5, 10, 25)
    decided(ledger, 12)
    logins = [(NOW_US, NODE), (NOW_US + 10 * MINUTE_US, KIOSK), (NOW_US + 20 * MINUTE_US, NODE)]
    done = ledger.write_now(lambda c: settle(c, KIOSK, logins))
    assert done == [("c1", "c2", NOW - 5 * MINUTE), ("c1", "c2", NOW + 25 * MINUTE)]
    assert whose(ledger, tables.events, "occurred_at") == [OTHER, OTHER, ONE, OTHER]
    assert whose(ledger, tables.decisions, "decided_at") == [ONE]


def test_of_logins_at_one_time_the_last_one_counts_and_the_first_before(ledger):
    looked(ledger, -5, 0)
    logins = [(NOW_US, NODE), (NOW_US, "cookie:kiosk c3"), (NOW_US, KIOSK)]
    assert ledger.write_now(lambda c: settle(c, KIOSK, logins)) == [("c1", "c2", NOW - 5 * MINUTE)]
    assert whose(ledger, tables.events, "occurred_at") == [OTHER, ONE]
