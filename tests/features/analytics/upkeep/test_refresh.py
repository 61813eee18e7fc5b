"""Tests that journeys that are kept up to date are those of a rebuild, whatever happened."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.analytics.upkeep import changes
from features.analytics.upkeep import refresh as module
from features.analytics.upkeep.kept_state import write_state
from features.customers.attribute_writer import SentAttributes, write_attributes
from features.errors import NotCounted
from features.ledger import tables
from features.settings import load_settings
from features.store.retention import RetentionPolicy
from tests.decided import decided
from tests.features.analytics.upkeep.shop import SOON, Shop
from tests.features.live import DAY, NOW, SHOP, event

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_the_first_refresh_builds_everything(shop):
    state = shop.state
    assert (state.version, state.customers, state.deltas) == (1, 3, ())
    assert shop.content() == shop.rebuilt()
    assert len(shop.content()["journeys"]) >= 3 * 4  # two purchases, a complaint, a life
    assert shop.marks() == []


def test_events_also_late_ones_are_taken(shop):
    shop.happen(event("n1", "c1", at=NOW), event("n2", "new", at=NOW - DAY))
    assert shop.marks() == ["c1", "new"]
    shop.is_right()
    assert shop.state.version == 2
    shop.happen(event("n3", "c2", at=NOW - 8.5 * DAY, kind="order", amount_eur=1.0))
    kept = shop.is_right()
    assert len(kept["steps"]) > 0 and shop.state.version == 3


def test_a_merge_is_taken_and_undone_without_a_trace(shop):
    before = shop.is_right()
    link = {"cause": "test", "now": shop.now}
    asyncio.run(shop.ingest.link(("c1", "c2"), **link))
    merged = shop.is_right()
    assert {row[1] for row in merged["journeys"]} == {"c1", "u3"}
    assert merged["cube"] != before["cube"]
    asyncio.run(shop.ingest.unlink(("c1", "c2"), **link))
    after = shop.is_right()
    assert after == before


def test_an_attribute_counts_from_its_time(shop):
    for at in (NOW - 8 * DAY, None):
        sent = [SentAttributes("c1", {"plan": "plus" if at else "basic"}, at)]
        shop.ledger.write_now(lambda c, sent=sent: write_attributes(c, sent, shop.now, "company"))
        assert shop.marks() == ["c1"]
        shop.is_right()


def test_a_shown_decision_is_a_step_without_a_mark(shop):
    decided(shop.ledger, "d1", NOW + timedelta(seconds=3), {"call": 7.0}, channel="web")
    decided(shop.ledger, "d2", NOW + timedelta(seconds=3), {"call": 7.0}, customer_id="new")
    assert shop.marks() == []
    shop.is_right()
    assert shop.state.serial == 2


def test_what_happens_after_the_moment_of_the_data_waits(shop):
    shop.happen(event("early", "c1", at=NOW + timedelta(minutes=2)))
    decided(shop.ledger, "d1", NOW + timedelta(minutes=2), {"call": 7.0}, customer_id="c2")
    shop.refresh(shop.now + SOON)
    assert shop.content() == shop.rebuilt()
    assert shop.marks() == ["c1", "c2"]
    before = len(shop.content()["steps"])
    shop.now += timedelta(minutes=5)
    assert len(shop.is_right()["steps"]) > before


def test_time_alone_changes_journeys(shop):
    before = shop.is_right()
    shop.now += 25 * DAY  # complaints lapse 30 days after the last one
    after = shop.is_right()
    how = [sorted(row[8] for row in one["journeys"]) for one in (before, after)]
    assert how[0] != how[1]
    shop.now += 50 * DAY
    shop.is_right()


def test_many_whose_time_has_come_are_taken_in_steps(shop, monkeypatch):
    monkeypatch.setattr(module, "STEP", 2)
    monkeypatch.setattr(changes, "STEP", 2)
    shop.happen(*(event(f"more{n}", f"m{n}", at=NOW - 6 * DAY) for n in range(7)))
    shop.now += 40 * DAY
    shop.is_right()


def test_pruned_events_are_gone(shop, tmp_path):
    days = {"NBA_HOME": str(tmp_path), "NBA_RETENTION_EVENTS_DAYS": "6"}
    pruned = RetentionPolicy(shop.ledger, SHOP, load_settings(days)).prune(shop.now)
    assert pruned.events == 6
    shop.is_right()


def test_without_a_change_the_moment_moves_once_a_minute(shop):
    first = shop.state
    shop.refresh(shop.now + SOON)
    assert shop.state == first
    shop.refresh(shop.now + timedelta(minutes=1))
    state = shop.state
    assert (state.as_of_us - first.as_of_us, state.version) == (60_000_000, 2)
    shop.refresh(shop.now)  # a clock that went back
    assert shop.state == state


def test_deltas_are_merged_and_old_files_go(shop, monkeypatch):
    monkeypatch.setattr(module, "DELTAS", 2)
    monkeypatch.setattr(module, "CHANGED_SHARE", 2.0)
    names = []
    for number in range(9):
        shop.happen(event(f"again{number}", "c1", at=shop.now))
        shop.is_right()
        names.append(shop.state.names)
        files = {file.name.split(".")[0] for file in shop.folder.glob("build-*/*.journeys.parquet")}
        state = shop.state
        assert files == {name.split("/")[1] for name in (*state.names, *state.former)}
    assert max(map(len, names)) == 3
    assert len({base for base, *_ in names}) > 1  # merged into the base, too


class Crash(Exception):
    """The process ends."""


@pytest.mark.parametrize("place", ["write_pair", "write_change", "difference"])
def test_a_crash_in_a_step_changes_nothing_and_the_next_one_goes_on(shop, monkeypatch, place):
    def crash(*_):
        raise Crash

    shop.happen(event("n1", "c1", at=NOW), event("n2", "new", at=NOW - DAY))
    before = shop.content()
    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(module, place, crash)
        shop.refresh(shop.now + SOON)
    assert shop.content() == before
    assert shop.marks() == ["c1", "new"]
    shop.is_right()


def test_a_crash_after_the_transaction_leaves_all_that_it_wrote(shop, monkeypatch):
    def crash(*_):
        raise Crash

    shop.happen(event("n1", "c1", at=NOW))
    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(module, "remove_others", crash)
        shop.refresh(shop.now + SOON)
    assert shop.content() == shop.rebuilt()
    assert shop.marks() == []
    shop.is_right()


def test_a_crash_in_a_build_is_repeated(ledger, tmp_path, monkeypatch):
    made = Shop(ledger, tmp_path / "journeys")
    made.happen(event("a", "c1"), event("b", "c2"))

    def crash(*_):
        raise Crash

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(module, "write_change", crash)
        made.refresh(NOW)
    made.is_right()
    query = sa.select(tables.journey_cube.c.build).distinct()
    assert ledger.read(lambda c: c.execute(query).scalars().all()) == [made.state.build]


def test_another_domain_file_or_lost_files_build_all_again(shop):
    builds = [shop.state.build]
    shop.domain = SHOP.model_copy(update={"half_lives_days": (5.0,)})
    shop.is_right()
    builds.append(shop.state.build)
    next(shop.folder.glob("build-*/*.steps.parquet")).unlink()
    shop.is_right()
    builds.append(shop.state.build)
    file = next(shop.folder.glob("build-*/*.steps.parquet"))
    file.write_bytes(file.read_bytes()[:-9])  # half of it was written when the power went
    shop.is_right()
    builds.append(shop.state.build)
    assert builds == [1, 2, 3, 4]
    query = sa.select(tables.journey_cube.c.build).distinct()
    assert shop.ledger.read(lambda c: c.execute(query).scalars().all()) == [4]


def test_a_step_is_not_written_over_that_of_another_machine(shop, monkeypatch):
    shop.happen(event("n1", "c1", at=NOW))
    before, count = shop.state, module.difference

    def other_first(*pairs):
        newer = replace(before, version=before.version + 1)
        shop.ledger.write_now(lambda c: write_state(c, before, newer))
        return count(*pairs)

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="Another process"):
        patched.setattr(module, "difference", other_first)
        shop.refresh(shop.now + SOON)
    assert shop.marks() == ["c1"]
    shop.is_right()


def test_of_two_homes_of_a_ledger_one_keeps_the_journeys(shop, tmp_path):
    here, there = shop.folder, tmp_path / "other" / "journeys"
    shop.happen(event("n1", "c1", at=NOW))
    shop.folder = there
    with pytest.raises(NotCounted, match="Another home that uses this ledger"):
        shop.refresh(shop.now + SOON)
    assert shop.marks() == ["c1"]  # they are those of the other home
    shop.folder = here
    shop.is_right()
    shop.now += timedelta(minutes=6)  # it is not there any more
    shop.folder = there
    shop.is_right()
    shop.folder = here
    with pytest.raises(NotCounted, match="Another home"):
        shop.refresh(shop.now + SOON)
