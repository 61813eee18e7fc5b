"""Removes records of old decisions and old events; what counts for the future stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.business.domain import Domain
from features.business.label_definitions import Churn
from features.errors import InvalidSetting
from features.identity import links
from features.identity.holders import nodes_at
from features.identity.relocation import place
from features.ledger import tables
from features.ledger.columns import packed_json
from features.outcomes.attribution import DECISION_COLUMNS, shown_by
from features.settings import load_settings
from features.store import retention as module
from features.store.retention import Pruned, RetentionPolicy, pruning_lock
from tests.conftest import NOW
from tests.decided import decided, put_imported
from tests.features.erasing import count, happened, looked_at
from tests.features.live import SHOP, InMemoryOnlineStore, event, folded, kept, live

pytestmark = pytest.mark.databases("sqlite", "postgresql")
DAY = timedelta(days=1)


def retention(ledger, home, **days):
    names = {f"NBA_RETENTION_{name.upper()}_DAYS": str(value) for name, value in days.items()}
    return RetentionPolicy(ledger, SHOP, load_settings({"NBA_HOME": str(home), **names}))


def decisions(ledger):
    query = sa.select(tables.decisions).order_by(tables.decisions.c.serial)
    return ledger.read(lambda c: c.execute(query).all())


def test_records_older_than_the_limit_are_removed_and_rows_stay(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RECORDS_PER_STEP", 2)
    for number in range(5):
        at, days = NOW - (410 - number) * DAY, {"call": 7.0, "mail": 3.0}
        decided(ledger, f"old{number}", at, days, row=(0.0, 1.5))
    kept = sa.update(tables.decisions).values(believed=b"believed")
    ledger.write_now(lambda connection: connection.execute(kept))
    put_imported(ledger, "imported", NOW - 500 * DAY)
    decided(ledger, "new", NOW - 399 * DAY, {"call": 7.0})
    looked_at(ledger)
    before = {row.decision_id: shown_by(row) for row in decisions(ledger)}
    found = retention(ledger, tmp_path)
    counted = found.count(NOW)
    assert counted.records == 5
    assert counted.record_bytes == sum(
        len(packed_json(row.record.encode()))
        + len(packed_json(row.answer.encode()))
        + len(b"believed")
        # Of the features 4 bytes for their number, a byte for each mask, and one number.
        + 4
        + 2
        + 8
        for row in decisions(ledger)
        if row.decision_id.startswith("old")
    )
    steps = []
    assert found.prune(NOW, lambda *step: steps.append(step)) == counted
    assert [done for name, done, _ in steps if name == "remove records"][:3] == [2, 4, 5]
    rows = {row.decision_id: row for row in decisions(ledger)}
    for name in ("answer", "features", "believed"):
        assert all(getattr(rows[f"old{number}"], name) is None for number in range(5))
    assert rows["new"].answer is not None and rows["imported"].record is None
    assert {name: shown_by(row) for name, row in rows.items()} == before
    assert count(ledger, tables.contacts) == 11
    assert count(ledger, tables.later_features) == 1  # of the new one
    assert found.prune(NOW) == Pruned()
    assert found.prune(NOW + 2 * DAY).records == 1
    assert {column.name for column in DECISION_COLUMNS} >= {"record", "activation"}


def test_a_record_is_kept_until_its_windows_have_closed(ledger, tmp_path):
    decided(ledger, "long", NOW - 3 * DAY, {"call": 7.0})
    decided(ledger, "short", NOW - 3 * DAY, {"call": 1.0})
    found = retention(ledger, tmp_path, records=1)
    assert found.prune(NOW).records == 0
    assert [found.count(NOW + n * DAY).records for n in (0, 5)] == [0, 2]
    assert found.prune(NOW + 5 * DAY).records == 2


def test_retention_is_due_once_a_day_and_can_be_stopped(ledger, tmp_path):
    decided(ledger, "old", NOW - 500 * DAY, {"call": 7.0})
    found = retention(ledger, tmp_path)
    found.prune(NOW, after_step=lambda: False)
    assert found.is_due(NOW)
    found.prune(NOW)
    assert not found.is_due(NOW + DAY / 2) and found.is_due(NOW + DAY)


def test_what_is_never_removed_stays(ledger, tmp_path):
    decided(ledger, "old", NOW - 5000 * DAY, {"call": 7.0})
    found = retention(ledger, tmp_path, records="never")
    assert found.prune(NOW) == found.count(NOW) == Pruned()
    assert found.storage().total > 0


def test_only_one_process_prunes(tmp_path):
    with (
        pruning_lock(tmp_path),
        pytest.raises(InvalidSetting, match=r"holds pruning\.lock"),
        pruning_lock(tmp_path),
    ):
        pass


def test_old_events_are_deleted_and_features_are_those_of_the_rest(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVENTS_PER_STEP", 3)
    monkeypatch.setattr(module, "CUSTOMERS_PER_STEP", 2)
    online = InMemoryOnlineStore()
    worker = live(ledger, online)
    sent = [
        event(10 * who + n, f"c{who}", at=NOW - (100 * n + 1) * DAY)
        for who in range(4)
        for n in range(5)
    ]
    assert asyncio.run(worker.ingest(sent, NOW)).accepted == 20
    found = retention(ledger, tmp_path, events=150)
    counted = found.count(NOW)
    assert counted.events == 12
    assert found.prune(NOW)._replace(event_bytes=0) == counted._replace(event_bytes=0)
    assert count(ledger, tables.events) == 8
    asyncio.run(worker.publisher.show_backlog(NOW))
    for who in range(4):
        assert online.states[f"c{who}"] == folded(ledger, f"c{who}")


def test_events_about_consent_are_never_deleted(ledger, tmp_path):
    domain = Domain(name="x", currency="eur", channels=("app",), vocabulary="all")
    types = ["visit", "consent_given", "consent_withdrawn"]
    old = [happened(n - 500 * 86_400) | {"type": name} for n, name in enumerate(types)]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, old))
    found = replace(retention(ledger, tmp_path, events=150), domain=domain)
    assert found.count(NOW).events == found.prune(NOW).events == 1
    kept_types = ledger.read(lambda c: c.execute(sa.select(tables.events.c.type)).scalars().all())
    assert sorted(kept_types) == types[1:]


def test_who_has_left_is_not_forgotten_to_have_left(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVENTS_PER_STEP", 2)
    churn = Churn(event="cancelled", when="happens", back=("visit",))
    domain = SHOP.model_copy(update={"churn": churn})
    told = {  # type, days ago
        "gone": [("visit", 500), ("cancelled", 400), ("view", 300)],
        "tied": [("visit", 400), ("cancelled", 400)],
        "back": [("cancelled", 400), ("visit", 300), ("visit", 200), ("view", 1)],
        "soon": [("cancelled", 400), ("visit", 1)],
        "again": [("cancelled", 400), ("visit", 300), ("cancelled", 200)],
    }
    rows = [
        happened(-days * 86_400, who) | {"event_id": f"{who} {n}", "type": kind}
        for who, kinds in told.items()
        for n, (kind, days) in enumerate(kinds)
    ]
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, rows))
    found = replace(retention(ledger, tmp_path, events=150), domain=domain)
    assert found.count(NOW).events == found.prune(NOW).events == 10
    stay = ledger.read(lambda c: c.execute(sa.select(tables.events.c.event_id)).scalars().all())
    assert {*stay} == {"gone 1", "back 3", "soon 1", "again 2"}


def test_old_logins_go_with_their_events_and_the_last_one_of_each_holder_stays(ledger, tmp_path):
    shown = InMemoryOnlineStore()
    days = {1: 400, 2: 390, 3: 380, 4: 370, 5: 2, 6: 1}
    sent = [
        event(n, "c1" if n in (1, 2, 4) else "c2", "cookie:x", at=NOW - timedelta(days=days[n]))
        for n in days
    ]
    asyncio.run(live(ledger, shown).ingest(sent, NOW))
    before = ledger.read(lambda c: nodes_at(c, [("cookie:x", NOW - timedelta(days=366))]))
    retention(ledger, tmp_path, events=365).prune(NOW)
    with ledger.engine.connect() as connection:
        left = sorted(connection.execute(sa.select(tables.logins.c.event_id)).scalars())
    assert left == ["e3", "e4", "e5", "e6"]
    assert before == {("cookie:x", NOW - timedelta(days=366)): "cookie:x"}
    assert ledger.read(lambda c: nodes_at(c, list(before))) == before


def test_events_that_wait_to_be_moved_are_deleted_from_the_customer_of_their_key(
    ledger, tmp_path, monkeypatch
):
    """After a merge of long histories, events are still stored under the one merged away."""
    monkeypatch.setattr(links, "place", lambda *about: place(*about[:4], at_most=0))
    online = InMemoryOnlineStore()
    worker = live(ledger, online)
    sent = [event(n, "cookie:1", at=NOW - (100 * n + 1) * DAY) for n in range(5)]
    asyncio.run(worker.ingest([*sent, event(9, "c1")], NOW))
    assert asyncio.run(worker.link(("c1", "cookie:1"), "they said so", NOW))
    assert retention(ledger, tmp_path, events=150).prune(NOW).events == 3
    assert {*kept(ledger)} == {"c1"}
    asyncio.run(worker.publisher.show_backlog(NOW))
    assert online.states["c1"] == folded(ledger, "c1")


def test_a_search_that_finds_no_old_events_can_be_stopped(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CUSTOMERS_PER_STEP", 1)
    sent = [event(n, f"c{n}") for n in range(3)]
    asyncio.run(live(ledger, InMemoryOnlineStore()).ingest(sent, NOW))
    found, steps = retention(ledger, tmp_path, records="never", events=150), []
    found.prune(NOW, after_step=lambda: bool(steps.append("one")))
    assert steps == ["one"] and found.is_due(NOW)
