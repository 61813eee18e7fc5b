"""Tests the order in which stored events are read, from a position on."""

from datetime import timedelta

import pytest

from features.customers.profiles import account_key
from features.ledger import tables
from features.states.stored_events import (
    LAST_ID,
    START,
    Position,
    count_events,
    events_after,
    events_in_fold_order,
    events_of,
)
from tests.features.live import NOW, add, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def micros(days_ago):
    return tables.micros(NOW - timedelta(days=days_ago))


def view(name, days_ago, customer="ann", **changed):
    return stored(name, customer, NOW - timedelta(days=days_ago), **changed)


@pytest.fixture
def filled(ledger):
    some = [view("e2", 3), view("e1", 3), view("e3", 5), view("e4", 9, "bob")]
    add(ledger, tables.events, *some)
    members = [{"customer_id": one, "account": "Acme"} for one in ("ann", "bob")]
    add(ledger, tables.account_members, *members)
    return ledger


def test_events_are_read_in_the_order_of_time_and_id(filled):
    found = filled.read(lambda connection: [row[0] for row in events_of(connection, "ann")])
    assert found == ["e3", "e1", "e2"]
    order = filled.read(lambda c: [row[:1] + row[3:4] for row in c.execute(events_in_fold_order())])
    times = [micros(days) for days in (5, 3, 3, 9)]
    assert order == list(zip(["ann", "ann", "ann", "bob"], times, strict=True))


@pytest.mark.parametrize(
    ("position", "most", "expected"),
    [
        (START, 9, ["e3", "e1", "e2"]),
        (START, 2, ["e3", "e1"]),
        (Position(micros(3), "e1"), 9, ["e2"]),
        (Position(micros(3), ""), 9, ["e1", "e2"]),
        (Position(micros(3), LAST_ID), 9, []),
    ],
)
def test_events_are_read_after_a_position(filled, position, most, expected):
    found = filled.read(lambda c: events_after(c, "ann", position, most))
    assert [row[0] for row in found] == expected


def test_the_key_of_an_account_stands_for_the_events_of_its_members(filled):
    account = account_key("Acme")
    found = filled.read(lambda c: events_after(c, account, START, 9))
    assert [row[0] for row in found] == ["e4", "e3", "e1", "e2"]
    assert [row[0] for row in filled.read(lambda c: list(events_of(c, account)))] == [
        *("e4", "e3", "e1", "e2")
    ]
    until = Position(micros(3), "e1")
    assert filled.read(lambda c: count_events(c, account, START, until)) == 3


def test_events_are_counted_between_two_positions(filled):
    after, until = Position(micros(5), "e3"), Position(micros(3), LAST_ID)
    assert filled.read(lambda c: count_events(c, "ann", after, until)) == 2
    assert filled.read(lambda c: count_events(c, "ann", START, after)) == 1
    assert filled.read(lambda c: count_events(c, "ann", until, until)) == 0


@pytest.fixture
def moving(filled):
    """Events of a cookie are stored under two customers, and wait to be moved to a third one."""
    keys = {"ann": "ann", "bob": "bob", "cookie:1": "ann", "cookie:2": "cy"}
    known = [{"key": key, "customer_id": one, "rank": 0} for key, one in keys.items()]
    add(filled, tables.identities, *known)
    some = [
        view("m1", 4, "cookie:1"),
        view("m2", 2, "bob", subject="cookie:1"),
        view("m3", 1, "ann", subject="cookie:2"),
    ]
    add(filled, tables.events, *some)
    pairs = (("cookie:1", "cookie:1"), ("bob", "cookie:1"), ("ann", "cookie:2"))
    listed = [{"customer_id": one, "subject": key, "after_us": -1} for one, key in pairs]
    add(filled, tables.relocations, *listed)
    return filled


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ann", ["e3", "m1", "e1", "e2", "m2"]),
        ("bob", ["e4"]),
        ("cy", ["m3"]),
        ("cookie:1", []),
        ("nobody", []),
        (account_key("Acme"), ["e4", "e3", "m1", "e1", "e2", "m2"]),
    ],
)
def test_events_that_wait_to_be_moved_are_read_where_they_are_stored(moving, key, expected):
    until = Position(micros(0), LAST_ID)
    assert moving.read(lambda c: [row[0] for row in events_of(c, key)]) == expected
    after = moving.read(lambda c: events_after(c, key, START, 9))
    assert [row[0] for row in after] == expected
    assert moving.read(lambda c: count_events(c, key, START, until)) == len(expected)
    if len(expected) > 2:
        second = Position(after[1][3], after[1][0])
        found = moving.read(lambda c: events_after(c, key, second, 2))
        assert [row[0] for row in found] == expected[2:4]
        assert moving.read(lambda c: count_events(c, key, second, until)) == len(expected) - 2
