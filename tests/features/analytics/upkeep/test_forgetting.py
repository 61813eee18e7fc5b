"""Tests that erased customers vanish from the files and the counts of journeys."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from features.analytics.upkeep import forgetting as module
from features.analytics.upkeep.forgetting import forgetting
from features.analytics.upkeep.kept_state import keeping, write_state
from features.analytics.upkeep.recount import recount
from features.ingest.erasure import Erasure
from features.ingest.erasure_log import RETRY
from features.store.locks import file_lock
from tests.features.erasing import Store
from tests.features.live import NOW, event

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def erasure(shop):
    home = shop.folder.parent
    also = forgetting(shop.ledger, shop.domain, home)
    return Erasure(shop.ledger, Store(), home, lambda: shop.now, also)


def named_in_files(shop) -> set[str]:
    """All customers in all files of the folder, with how many files there are."""
    found = set[str]()
    for file in shop.folder.glob("**/*.parquet"):
        found |= {*pq.read_table(file, columns=["customer_id"])["customer_id"].to_pylist()}
    return found


def test_an_erased_customer_is_in_no_file_and_in_no_count(shop, erasure):
    shop.happen(event("n1", "c1", at=NOW), event("n2", "c2", at=NOW))
    shop.is_right()  # c1 and c2 are in a delta, too, or were merged into the base
    shop.happen(event("n3", "c2", at=NOW))
    shop.is_right()
    cache = shop.folder / "known" / "day.parquet"
    cache.parent.mkdir()
    pq.write_table(pq.read_table(next(shop.folder.glob("**/*.journeys.parquet"))), cache)
    version = shop.state.version
    erasure.forget(["c2"], shop.now)
    assert erasure.finish()
    assert shop.state.version == version + 1
    assert named_in_files(shop) == {"c1", "u3"}
    assert shop.marks() == []
    assert shop.content() == shop.rebuilt()
    assert recount(shop.ledger, shop.domain, shop.folder, shop.now) == []
    shop.is_right()


def test_who_comes_back_begins_anew(shop, erasure):
    erasure.forget(["c2"], shop.now)
    assert erasure.finish()
    erasure.readmit(["c2"])
    shop.happen(event("back", "c2", at=NOW))
    assert shop.marks() == ["c2"]
    kept = shop.is_right()
    assert sorted(row[1] for row in kept["journeys"] if row[1] == "c2") == ["c2", "c2"]


def test_while_the_files_are_in_use_the_erasure_waits(shop, erasure, monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0.0)
    erasure.forget(["c2"], shop.now)
    with keeping(shop.folder):
        assert not erasure.finish()
    assert erasure.problems == {"journeys": "cannot be cleaned (InvalidSetting)"}
    shop.now += RETRY
    assert erasure.finish()
    assert named_in_files(shop) == {"c1", "u3"}


def test_a_refresh_that_began_before_the_erasure_does_not_bring_anybody_back(shop, erasure):
    shop.happen(event("n1", "c2", at=NOW))
    erasure.forget(["c2"], shop.now)  # the rows; the files wait
    shop.now += timedelta(seconds=15)
    shop.refresh(shop.now)
    assert erasure.finish()
    assert named_in_files(shop) == {"c1", "u3"}
    shop.is_right()


def test_a_key_up_to_which_marks_are_taken_is_not_kept(shop, erasure):
    """As after a refresh that was killed between two of its steps."""
    stopped = replace(shop.state, after="c2")
    assert shop.ledger.write_now(lambda c: write_state(c, shop.state, stopped))
    erasure.forget(["c2"], shop.now)
    assert erasure.finish()
    assert shop.state.after == ""
    shop.is_right()


def test_a_home_without_journeys_has_nothing_to_forget(ledger, tmp_path, toy_domain):
    forget = forgetting(ledger, toy_domain, tmp_path)["journeys"]
    forget({"c1"})
    forget({"c1"})


def test_files_that_cannot_be_read_are_deleted_and_built_again(shop, erasure):
    rest = shop.folder / "build-000009.part" / "00000.steps.parquet"  # of a killed build
    rest.parent.mkdir()
    rest.write_bytes(b"half of c2")
    file = next(shop.folder.glob("build-*/*.journeys.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    erasure.forget(["c2"], shop.now)
    assert erasure.finish()
    assert named_in_files(shop) == set()
    shop.is_right()
    assert named_in_files(shop) == {"c1", "u3"}


def test_half_files_of_a_killed_process_do_not_hold_up_an_erasure(shop, erasure):
    place = shop.folder / "known-killed"
    place.mkdir()
    (place / "00000.steps.parquet").write_bytes(b"half of c2")
    erasure.forget(["c2"], shop.now)
    assert erasure.finish()
    assert not place.exists()


def test_an_erasure_by_another_home_leaves_the_mark_to_the_one_with_the_files(shop, erasure):
    home = shop.folder.parent / "other"
    also = forgetting(shop.ledger, shop.domain, home)
    other = Erasure(shop.ledger, Store(), home, lambda: shop.now, also)
    home.mkdir()
    other.forget(["c2"], shop.now)
    assert other.finish()
    assert shop.marks() == ["c2"]
    assert {row[1] for row in shop.is_right()["journeys"]} == {"c1", "u3"}


def test_of_a_recount_nothing_is_left_and_one_that_runs_is_waited_for(shop, erasure):
    place = shop.folder / "recount"
    place.mkdir()
    (place / "00000.steps.parquet").write_bytes(b"half of c2")  # it was killed
    erasure.forget(["c2"], shop.now)
    with file_lock(shop.folder / "recount.lock", wait=False):
        assert not erasure.finish()
    assert place.exists()
    shop.now += RETRY
    assert erasure.finish()
    assert not place.exists()
    assert named_in_files(shop) == {"c1", "u3"}
