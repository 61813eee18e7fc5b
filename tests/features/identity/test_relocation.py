"""Long histories follow their key in small steps; at the end they are where they belong."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from features.errors import IdentityUnknown
from features.identity import links, relocation
from features.identity.bulk_links import link_all
from features.identity.keys import KeyNormalizer
from features.identity.links import resolve_each
from features.identity.relocation import (
    EVENTS_PER_DECISION,
    belongs_to,
    is_relocating,
    relocate_all,
    relocate_some,
)
from features.ingest.erasure import Erasure
from features.ledger import tables
from features.ledger.ledger import Ledger
from tests.features.live import MINUTE, NOW, SHOP, add, customer, decision, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")
NORMALIZER = KeyNormalizer(SHOP)
MOVED = (tables.events, tables.decisions, tables.contacts)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    """One event and one decision are few."""
    _few_at_once(monkeypatch, 1 + EVENTS_PER_DECISION)


def _few_at_once(monkeypatch, number):
    place = relocation.place

    def placed(connection, customer_id, keys, owner, at_most):
        return place(connection, customer_id, keys, owner, min(at_most, number))

    monkeypatch.setattr(links, "place", placed)


def link(ledger, *pair):
    return ledger.write_now(
        lambda c: links.link(c, NORMALIZER, pair, "they said so", NOW, again=True)
    )


def unlink(ledger, *pair):
    return ledger.write_now(lambda c: links.unlink(c, pair, "a mistake", NOW))


def happened(ledger, key, numbers, minutes=1):
    """Events and decisions under a key, some minutes apart."""
    who = {"customer_id": customer(ledger, key), "subject": key}
    what = {"type": "view", "channel": "web", "properties": "{}"}
    times = {number: NOW + number * minutes * MINUTE for number in numbers}
    add(
        ledger,
        tables.events,
        *(who | what | {"event_id": f"{key}-{n}", "occurred_at": at} for n, at in times.items()),
    )
    shown = {"action_id": "call", "channel": "web", "action_group": "care", "outcomes_at": ""}
    for n, at in times.items():
        row = decision(f"{key}-{n}", key, who["customer_id"], decided_at=at)
        add(ledger, tables.decisions, row)
        contact = shown | who | {"decision_id": row["decision_id"], "shown_at": at}
        add(ledger, tables.contacts, contact)


def relocate(ledger, rows_n=4):
    """Take all steps; return their number."""
    steps = 1
    while ledger.write_now(lambda c: relocate_some(c, rows_n)):
        steps += 1
        assert steps < 10_000
    return steps


def relocating(ledger, *customers):
    return ledger.read(lambda c: is_relocating(c, customers))


def stored(ledger, table=tables.events):
    found = {}
    for row in rows(ledger, table):
        found.setdefault((row.subject, row.customer_id), []).append(row)
    return {pair: len(some) for pair, some in found.items()}


def misplaced(ledger):
    """Rows that are not stored under the customer of their key."""
    found = []
    for table in MOVED:
        every = rows(ledger, table)
        owners = ledger.read(lambda c, every=every: resolve_each(c, {row.subject for row in every}))
        found += [row for row in every if owners.get(row.subject, row.subject) != row.customer_id]
    return found


def test_few_rows_move_at_once(ledger):
    happened(ledger, "c1", range(9))
    happened(ledger, "cookie:1", [1])
    link(ledger, "c1", "cookie:1")
    assert stored(ledger) == {("c1", "c1"): 9, ("cookie:1", "c1"): 1}
    assert rows(ledger, tables.relocations) == [] == misplaced(ledger)
    assert relocating(ledger, "c1", "cookie:1") == set()


@pytest.mark.parametrize("minutes", [1, 0], ids=["one after the other", "all at one instant"])
def test_many_rows_move_in_steps_and_contacts_at_once(ledger, minutes):
    happened(ledger, "c1", range(2), minutes)
    happened(ledger, "cookie:1", range(20), minutes)
    merged = link(ledger, "c1", "cookie:1")
    assert merged == ("c1", "cookie:1", True, NOW, NOW)
    assert customer(ledger, "cookie:1") == "c1"
    assert stored(ledger) == {("c1", "c1"): 2, ("cookie:1", "cookie:1"): 20}
    assert stored(ledger, tables.contacts) == {("c1", "c1"): 2, ("cookie:1", "c1"): 20}
    assert relocating(ledger, "c1", "cookie:1", "c2") == {"c1", "cookie:1"}
    assert ledger.write_now(lambda c: relocate_some(c, 4))
    assert 0 < stored(ledger)["cookie:1", "c1"] <= 5
    assert relocate(ledger) > 3
    assert misplaced(ledger) == [] == rows(ledger, tables.relocations)
    assert relocating(ledger, "c1", "cookie:1") == set()


def test_nothing_to_relocate_says_so(ledger):
    assert ledger.write_now(relocate_some) is False


def test_the_rows_of_a_long_past_that_is_split_move_in_steps(ledger):
    link(ledger, "c1", "cookie:1")
    happened(ledger, "c1", range(20))
    happened(ledger, "cookie:1", range(5, 15))
    assert unlink(ledger, "c1", "cookie:1") == ["c1", "cookie:1"]
    assert relocating(ledger, "c1", "cookie:1") == {"c1", "cookie:1"}
    happened(ledger, "cookie:1", [99])
    happened(ledger, "c1", [99])
    relocate(ledger)
    assert stored(ledger) == {("c1", "c1"): 21, ("cookie:1", "cookie:1"): 11}
    assert misplaced(ledger) == []


def test_rows_on_their_way_follow_a_second_merge(ledger):
    happened(ledger, "cookie:1", range(20))
    link(ledger, "cookie:1", "email:a@b.it")
    ledger.write_now(lambda c: relocate_some(c, 8))
    happened(ledger, "cookie:1", [0.5])  # earlier than what has moved
    merged = link(ledger, "email:a@b.it", "c1")
    assert merged == ("c1", "email:a@b.it", True, None, NOW)
    assert relocating(ledger, "cookie:1", "email:a@b.it", "c1") == {
        *("cookie:1", "email:a@b.it", "c1")
    }
    relocate(ledger)
    assert stored(ledger) == {("cookie:1", "c1"): 21}


def test_a_link_that_is_undone_on_the_way_brings_back_what_had_left(ledger):
    happened(ledger, "c1", range(20))
    happened(ledger, "c2", range(20))
    link(ledger, "c1", "c2")
    ledger.write_now(lambda c: relocate_some(c, 8))
    assert stored(ledger)["c2", "c1"] > 0
    unlink(ledger, "c1", "c2")
    listed = rows(ledger, tables.relocations)  # those that had not left are not looked at again
    assert [(row.customer_id, row.subject) for row in listed] == [("c1", "c2")]
    happened(ledger, "c2", [0.5])
    relocate(ledger)
    assert stored(ledger) == {("c1", "c1"): 20, ("c2", "c2"): 21}
    assert misplaced(ledger) == []


def test_the_first_event_of_a_merge_is_one_that_is_still_on_its_way(ledger):
    happened(ledger, "cookie:1", range(20))
    link(ledger, "cookie:1", "email:a@b.it")
    happened(ledger, "c1", [30])
    later = NOW + timedelta(minutes=30)
    assert link(ledger, "email:a@b.it", "c1") == ("c1", "email:a@b.it", True, later, NOW)


def test_all_rows_are_moved_before_a_load_ends(ledger):
    for key in ("cookie:1", "cookie:2", "cookie:3"):
        happened(ledger, key, range(9))
        link(ledger, key, "c1")
    relocate_all(ledger)
    assert stored(ledger) == {(f"cookie:{n}", "c1"): 9 for n in (1, 2, 3)}
    assert rows(ledger, tables.relocations) == []


KEYS = st.sampled_from(["c1", "c2", "c3", "card:1", "email:a", "cookie:1", "cookie:2"])


class Interleaved(RuleBasedStateMachine):
    """Links, splits, appends and steps of relocation, in any order."""

    url = ""

    @initialize()
    def begin(self):
        self.ledger = Ledger(self.url)
        self.number = 0
        self.ledger.write_now(_wipe)

    @rule(key=KEYS, number=st.integers(1, 6), at=st.integers(0, 9), minutes=st.integers(0, 1))
    def append(self, key, number, at, minutes):
        numbers = range(self.number, self.number + number)
        self.number += number
        who = {"customer_id": customer(self.ledger, key), "subject": key}
        what = {"type": "view", "channel": "web", "properties": "{}"}
        for n in numbers:
            moment = NOW + (at + (n - numbers[0]) * minutes) * MINUTE
            event = who | what | {"event_id": f"e{n}", "occurred_at": moment}
            add(self.ledger, tables.events, event)
            row = decision(n, key, who["customer_id"], decided_at=moment)
            add(self.ledger, tables.decisions, row)

    @rule(pair=st.tuples(KEYS, KEYS))
    def link(self, pair):
        link(self.ledger, *pair)

    @rule(pairs=st.lists(st.tuples(KEYS, KEYS), max_size=4))
    def link_all(self, pairs):
        causes = dict.fromkeys(pairs, "events")
        self.ledger.write_now(lambda c: link_all(c, NORMALIZER, causes, NOW))

    @rule(number=st.integers(0, 20))
    def unlink(self, number):
        held = [row for row in rows(self.ledger, tables.links) if row.undone_at is None]
        if held:
            row = sorted(held, key=lambda row: (row.left, row.right))[number % len(held)]
            unlink(self.ledger, row.left, row.right)

    @rule(rows_n=st.integers(1, 12))
    def relocate_some(self, rows_n):
        self.ledger.write_now(lambda c: relocate_some(c, rows_n))

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def every_misplaced_row_is_listed(self):
        listed = {
            (row.customer_id, row.subject): row.after_us
            for row in rows(self.ledger, tables.relocations)
        }
        for row in misplaced(self.ledger):
            at = row.occurred_at if "occurred_at" in row._fields else row.decided_at
            assert listed[row.customer_id, row.subject] < tables.micros(at)
            owner = customer(self.ledger, row.subject)
            both = {owner, row.customer_id}
            assert relocating(self.ledger, *both) == both

    @precondition(lambda self: hasattr(self, "ledger"))
    @invariant()
    def the_rows_of_a_customer_are_found_wherever_they_are_stored(self):
        for table in (tables.events, tables.decisions):
            every = rows(self.ledger, table)
            owners = {one: customer(self.ledger, one) for one in {row.subject for row in every}}
            for who in {*owners.values(), "c1"}:
                query = sa.select(table).where(belongs_to(table, sa.select(sa.literal(who))))
                found = self.ledger.read(lambda c, query=query: c.execute(query).all())
                assert sorted(found) == sorted(row for row in every if owners[row.subject] == who)

    def teardown(self):
        if hasattr(self, "ledger"):
            relocate(self.ledger, 3)
            assert misplaced(self.ledger) == []
            self.ledger.close()


def _wipe(connection):
    for table in tables.metadata.sorted_tables:
        if table is not tables.meta:
            connection.execute(sa.delete(table))


@pytest.mark.parametrize("at_once", [0, 15])
def test_any_order_of_links_splits_appends_and_steps_ends_as_if_all_had_moved_at_once(
    ledger_url, monkeypatch, at_once
):
    monkeypatch.undo()
    _few_at_once(monkeypatch, at_once)
    examples = 15 if ledger_url.startswith("sqlite") else 3
    machine = type("Machine", (Interleaved,), {"url": ledger_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            database=None,
        ),
    )


def test_a_link_that_does_not_hold_is_refused_during_a_relocation(ledger):
    happened(ledger, "cookie:1", range(9))
    link(ledger, "c1", "cookie:1")
    with pytest.raises(IdentityUnknown):
        unlink(ledger, "c1", "c2")


def test_who_is_forgotten_during_a_relocation_leaves_no_row_and_takes_none_of_others(
    ledger, tmp_path
):
    happened(ledger, "cookie:1", range(9))  # stored under a key that is of another now
    link(ledger, "cookie:1", "c1")
    link(ledger, "cookie:2", "c1")
    happened(ledger, "c1", range(9))
    happened(ledger, "cookie:2", range(9))  # stored under the one whom it is split from
    unlink(ledger, "cookie:2", "c1")
    erasure = Erasure(ledger, Mock(erase=Mock(return_value=True)), tmp_path)
    erased = erasure.forget(["c1"], NOW)
    assert (erased.rows.events, erased.keys) == (18, ["c1", "cookie:1"])
    relocate(ledger)
    assert stored(ledger) == {("cookie:2", "cookie:2"): 9}
    assert rows(ledger, tables.relocations) == []
