"""Deletes the rows of forgotten customers in steps, and those of nobody else."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from features.business.decided_actions import shortened_record
from features.customers import erasure_scope
from features.errors import CustomerForgotten, IdentityUnknown
from features.identity.erasing import erase_identity_rows, stop_moving
from features.identity.links import links_of
from features.identity.tombstones import readmit
from features.ingest import erase_rows
from features.ingest import erasure as erasure_module
from features.ingest.erase_rows import ErasedRows, begin_erasure, erase_some
from features.ledger import tables
from features.ledger.derived_tables import mark_event_days
from features.rewards.reward_state import forget_rewards
from features.states.state_rows import delete_states
from tests.conftest import NOW
from tests.decided import decided
from tests.features.erasing import (
    count,
    forgotten,
    happened,
    known,
    looked_at,
    make_erasure,
    outcome,
)
from tests.features.live import DAY, MINUTE, InMemoryOnlineStore, event, live, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_nobody_is_forgotten_under_a_key_of_nobody(ledger, tmp_path):
    erasure = make_erasure(ledger, tmp_path)
    with pytest.raises(IdentityUnknown, match="Nothing is stored under 'never', 'card:9'"):
        erasure.forget(["never", "card:9"], NOW)
    for table in (tables.tombstones, tables.erasures, tables.erasure_keys):
        assert count(ledger, table) == 0
    assert erasure.online.erased == []


def test_who_is_forgotten_already_is_told_how_far_it_is(ledger, tmp_path):
    erasure = forgotten(ledger, tmp_path, "ann")
    with pytest.raises(CustomerForgotten, match="erasure [0-9a-f]{16} is still cleaning files"):
        erasure.forget(["ann"], NOW)
    erasure.finish()
    with pytest.raises(CustomerForgotten, match="finished at 2026-11-22T10:00:00"):
        erasure.forget(["ann"], NOW)


def test_a_long_history_is_erased_in_steps_and_continued_after_a_crash(
    ledger, tmp_path, now, monkeypatch
):
    monkeypatch.setattr(erase_rows, "EVENTS_PER_STEP", 10)
    monkeypatch.setattr(erase_rows, "DECISIONS_PER_STEP", 2)
    monkeypatch.setattr(erasure_module, "ROWS_WITHIN_S", 0.0)
    for number in range(5):
        decided(ledger, f"d{number}", now, {"discount": 14.0})
        ledger.write_now(
            lambda c, n=number: c.execute(tables.outcomes.insert(), outcome(f"o{n}", f"d{n}"))
        )
    events = [happened(number) for number in range(35)] + [happened(99, "other")]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, events))
    decided(ledger, "other", now, {}, customer_id="other")
    looked_at(ledger)
    erased = make_erasure(ledger, tmp_path).forget(["c1"], now)
    assert not erased.rows.done
    erase_some(ledger, erased.erasure_id, now)
    assert (count(ledger, tables.events), count(ledger, tables.decisions)) == (26, 4)
    assert count(ledger, tables.later_features) == 4
    assert make_erasure(ledger, tmp_path).finish()  # another process
    assert count(ledger, tables.events) == 1
    for table in (tables.outcomes, tables.credits, tables.contacts):
        assert count(ledger, table) == 0
    for table in (tables.decisions, tables.later_features):
        assert [row.serial for row in rows(ledger, table)] == [6]


def test_rows_that_wait_to_be_moved_go_with_their_key(ledger, tmp_path):
    """Of a key that was merged to ann, and of one that was split off from her."""
    events = [happened(1, "ann"), happened(2, "was", "card:1"), happened(3, "was")]
    events.append(happened(4, "ann", "card:2"))
    moving = [
        {"customer_id": "was", "subject": "card:1", "after_us": 0},
        {"customer_id": "ann", "subject": "card:2", "after_us": 0},
    ]
    keys = [
        {"key": key, "customer_id": behind, "rank": 0}
        for key, behind in (("ann", "ann"), ("card:1", "ann"), ("card:2", "card:2"))
    ]

    def put(connection):
        tables.insert_new(connection, tables.events, events)
        tables.insert_new(connection, tables.relocations, moving)
        for key in keys:
            tables.insert_new(connection, tables.identities, [key])

    ledger.write_now(put)
    make_erasure(ledger, tmp_path).forget(["ann"], NOW)
    left = ledger.read(lambda c: c.execute(sa.select(tables.events.c.event_id)).scalars().all())
    assert sorted(left) == ["e3", "e4"]
    subjects = sa.select(tables.relocations.c.subject)
    assert ledger.read(lambda c: c.execute(subjects).scalars().all()) == ["card:2"]
    # The customer under whom the key's event was stored may have been folded and summed with it.
    for column in (tables.journey_states.c.customer_id, tables.reward_marks.c.key):
        found = ledger.read(lambda c, column=column: c.execute(sa.select(column)).scalars().all())
        assert found == ["was"]


def test_a_step_that_comes_late_deletes_nothing_of_a_customer_who_is_back(ledger, tmp_path):
    known(ledger, "ann")
    erasure_id, _ = ledger.write_now(lambda c: begin_erasure(c, ["ann"], NOW))
    assert make_erasure(ledger, tmp_path).readmit(["ann"]) == 1
    known(ledger, "ann")
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, [happened(1, "ann")]))
    assert erase_some(ledger, erasure_id, NOW) == ErasedRows(done=True)
    assert (count(ledger, tables.customers), count(ledger, tables.events)) == (1, 1)


def test_the_marks_of_a_customer_without_decisions_are_deleted(ledger, tmp_path):
    known(ledger, "ann")
    ledger.write_now(lambda c: mark_event_days(c, [("ann", 20_000), ("bob", 20_000)]))
    make_erasure(ledger, tmp_path).forget(["ann"], NOW)
    keys = sa.select(tables.reward_marks.c.key)
    assert ledger.read(lambda c: c.execute(keys).scalars().all()) == ["bob"]


def test_keys_of_others_are_removed_from_the_records_of_a_former_version(ledger, now, monkeypatch):
    monkeypatch.setattr(erase_rows, "DECISIONS_PER_STEP", 2)
    sent = [
        {"customer_id": "c1", "identifiers": ["card:4711"], "channel": "app"},
        {"identifiers": ["c1", "card:4711"], "channel": "app"},
        {"identifiers": ["card:1"], "channel": "app"},
        {"customer_id": "c1", "identifiers": ["card:4711"], "channel": "web"},
    ]
    for number, request in enumerate(sent):
        kept = {"request": request, "attribution_days": {}, "experts": {"call": [0.25]}}
        decided(ledger, f"d{number}", now, {}, record=json.dumps(kept))
    ledger.write_now(lambda c: tables.set_meta(c, erase_rows.RECORDS_WITH_KEYS, "3"))
    assert not erase_rows.remove_other_keys(ledger)
    assert erase_rows.remove_other_keys(ledger) and erase_rows.remove_other_keys(ledger)
    columns = tables.decisions.c
    found = ledger.read(
        lambda c: c.execute(sa.select(columns.record).order_by(columns.serial)).scalars().all()
    )
    assert [json.loads(record)["request"] for record in found] == [
        {"customer_id": "c1", "channel": "app"},
        {"identifiers": ["c1"], "channel": "app"},
        *sent[2:],  # the last one is of this version
    ]
    assert json.loads(found[0])["experts"] == {"call": [0.25]}


def test_a_record_that_retention_shortens_meanwhile_stays_short(ledger, now):
    request = {"customer_id": "c1", "identifiers": ["card:4711"]}
    record = json.dumps({"request": request, "attribution_days": {}})
    decided(ledger, "d1", now, {}, record=record)
    ledger.write_now(lambda c: tables.set_meta(c, erase_rows.RECORDS_WITH_KEYS, "3"))
    short = {"record": shortened_record(record), "answer": None}

    def read_before(work):
        found = ledger.read(work)
        ledger.write_now(lambda c: c.execute(sa.update(tables.decisions).values(short)))
        return found

    assert erase_rows.remove_other_keys(
        SimpleNamespace(read=read_before, write_now=ledger.write_now)
    )
    left = ledger.read(lambda c: c.execute(sa.select(tables.decisions.c.record)).scalar())
    assert left == short["record"]


@pytest.fixture
def worker(ledger):
    return live(ledger, InMemoryOnlineStore())


def take(worker, *sent):
    return len(asyncio.run(worker.ingest(sent, NOW)).rejected)


def test_a_forgotten_holder_whose_link_with_a_device_was_undone_is_named_nowhere(
    ledger, worker, tmp_path
):
    take(worker, event(1, "bob", "cookie:1"), event(2, "ann", "cookie:1", at=NOW))
    asyncio.run(worker.unlink(("cookie:1", "ann"), "a mistake", NOW))
    make_erasure(ledger, tmp_path).forget(["ann"], NOW)
    told = [
        (table.name, value)
        for table in tables.metadata.sorted_tables
        if table not in (tables.erasure_keys, tables.reward_marks)  # until the next background task
        for row in rows(ledger, table)
        for value in row
        if "ann" in str(value)
    ]
    assert told == []
    assert take(worker, event(3, "cookie:1", at=NOW)) == 0  # it is bob's


def test_what_others_did_is_never_given_to_a_forgotten_holder_or_to_another_device(
    ledger, worker, tmp_path
):
    for device, first, gone in (("cookie:1", "bob", "ann"), ("cookie:2", "eve", "dan")):
        take(
            worker,
            event(f"{device}1", first, device),
            event(f"{device}2", device, at=NOW - DAY + MINUTE),
            event(f"{device}3", gone, device, at=NOW),
        )
        make_erasure(ledger, tmp_path).forget([gone], NOW)
        asyncio.run(worker.unlink((device, first), "a mistake", NOW))
    asyncio.run(worker.link(("cookie:1", "bob"), "it was none", NOW))
    subjects = {row.event_id: (row.subject, row.customer_id) for row in rows(ledger, tables.events)}
    assert subjects["ecookie:12"] == ("cookie:1", "bob")
    assert subjects["ecookie:22"] == ("cookie:2", "cookie:2")


def test_a_forgotten_device_is_refused_though_somebody_held_it_by_mistake(ledger, worker, tmp_path):
    take(worker, event(1, "bob", "cookie:1"), event(2, "cookie:1"))
    asyncio.run(worker.unlink(("cookie:1", "bob"), "a mistake", NOW))
    make_erasure(ledger, tmp_path).forget(["cookie:1"], NOW)
    assert take(worker, event(3, "cookie:1")) == 1
    # The link stays undone, though bob logs in again.
    assert take(worker, event(4, "bob", "cookie:1"), event(5, "cookie:1")) == 1
    owners = {row.event_id: row.customer_id for row in rows(ledger, tables.events)}
    assert owners == {"e1": "bob", "e4": "bob"}


def test_a_device_of_a_forgotten_holder_stays_refused_when_the_other_one_is_forgotten(
    ledger, worker, tmp_path
):
    take(worker, event(1, "ann", "cookie:1"), event(2, "bob", "cookie:1", at=NOW - MINUTE))
    make_erasure(ledger, tmp_path).forget(["ann"], NOW)
    asyncio.run(worker.unlink(("cookie:1", "bob"), "a mistake", NOW))
    make_erasure(ledger, tmp_path).forget(["bob"], NOW)
    assert take(worker, event(3, "cookie:1"), event(4, "cookie:1", at=NOW)) == 2


@pytest.mark.databases("postgresql")
def test_a_customer_with_70_000_keys_is_read_and_erased(ledger):
    """PostgreSQL takes at most 65,535 parameters in one statement."""
    keys = ["ann", *(f"card:{number}" for number in range(70_000))]
    link = {"left": "ann", "right": "card:69999", "cause": "they said so", "linked_at": NOW}

    def put(connection):
        row = {"key": "card:69999", "customer_id": "ann", "rank": 0}
        tables.insert_new(connection, tables.identities, [row])
        connection.execute(tables.links.insert(), link)
        tables.insert_new(connection, tables.events, [happened(1, "ann", "card:69999")])

    def erase(connection):
        assert [one.right for one in links_of(connection, keys)] == ["card:69999"]
        assert erasure_scope._is_known(connection, keys)
        ids = erase_rows._some(connection, tables.events.c.event_id, keys, [("was", "ann")], 10)
        assert ids == ["e1"]
        assert stop_moving(connection, keys) == []
        erase_rows._delete_small_tables(connection, keys)
        erase_identity_rows(connection, keys)
        delete_states(connection, keys)
        forget_rewards(connection, keys, [])
        assert readmit(connection, keys) == 0

    ledger.write_now(put)
    ledger.write_now(erase)
    assert count(ledger, tables.identities) == count(ledger, tables.links) == 0
