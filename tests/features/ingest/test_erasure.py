"""Erases customers from the same files in two workers at once: they take turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.customers.profiles import account_key, members_of
from features.customers.tombstones import add_tombstones
from features.errors import InvalidSetting, NotVisible
from features.ingest.erasure import Erasure
from features.ledger import tables
from features.store.build import _write_online
from features.store.fold_parts import FoldedPart
from features.store.locks import build_lock
from tests.conftest import NOW
from tests.decided import decided
from tests.features.live import add, person

pytestmark = pytest.mark.databases("sqlite", "postgresql")

A_WHILE_S = 0.3


class SlowStore:
    """An online store that waits a while, so that another thread may enter."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.second = threading.Event()

    def erase(self, customer_ids, at_most=None) -> bool:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == 2:
            self.second.set()
        self.second.wait(A_WHILE_S)
        self.inside -= 1
        return True


def test_only_one_cleans_the_files_at_a_time(ledger, tmp_path):
    online = SlowStore()
    erasure = Erasure(ledger, online, tmp_path)
    with ThreadPoolExecutor(3) as pool:
        for erased in pool.map(lambda key: erasure.forget([key], NOW), ["ann", "bob", "eve"]):
            assert not erased.bytes_remain
    assert online.most == 1


def test_who_comes_second_finds_nothing_left_to_do(ledger, tmp_path):
    online = SlowStore()
    online.second.set()
    erasure = Erasure(ledger, online, tmp_path)
    erasure.forget(["ann"], NOW)
    online.most = 0
    assert erasure.finish() and online.most == 0


def test_a_forgotten_customer_belongs_to_no_account(ledger, tmp_path):
    add(ledger, tables.customers, person("ann", "acme"), person("bob", "acme"))
    _erasure(ledger, tmp_path).forget(["ann"], NOW)
    assert ledger.read(lambda c: members_of(c, account_key("acme"))) == ["bob"]


def test_a_build_that_folded_somebody_before_they_were_forgotten_does_not_show_them(ledger):
    shown: list[str] = []

    class Store:
        def write_packed(self, customer_ids, packed, at) -> None:
            shown.extend(customer_ids)

    folded = FoldedPart(["ann", "bob"], [0, 0], [[0.0, 1.0], [0.0, 1.0]], 2)
    ledger.write_now(lambda connection: add_tombstones(connection, ["ann"], NOW))
    _write_online(ledger, Store(), folded)
    assert shown == ["bob"]


def _half(folder):
    folder.mkdir(parents=True)
    file = folder / "00000.parquet"
    file.write_bytes(b"PAR1 and so on")
    return file


def _erasure(ledger, home):
    online = SlowStore()
    online.second.set()
    return Erasure(ledger, online, home)


def test_what_a_build_that_was_cut_off_left_is_removed(ledger, tmp_path):
    half = _half(tmp_path / "feast" / "customer_journey.part")
    _erasure(ledger, tmp_path).forget(["ann"], NOW)
    assert not half.exists()


def test_what_a_build_is_writing_is_left_to_it(ledger, tmp_path):
    half = _half(tmp_path / "feast" / "customer_journey.part")
    with build_lock(tmp_path / "feast" / "customer_journey"):
        _erasure(ledger, tmp_path).forget(["ann"], NOW)
    assert half.exists()


def test_only_one_build_is_at_work(tmp_path):
    folder = tmp_path / "customer_journey"
    locked = pytest.raises(InvalidSetting, match=r"holds build\.lock")
    with build_lock(folder), locked, build_lock(folder):
        pass


def test_a_file_that_is_half_written_is_cleaned_when_it_is_whole(ledger, tmp_path):
    half = _half(tmp_path / "sources")
    erasure = _erasure(ledger, tmp_path)
    with pytest.raises(NotVisible, match="cleans the files later by itself"):
        erasure.forget(["ann"], NOW)
    pq.write_table(pa.table({"customer_id": ["ann", "bob"]}), half)
    assert erasure.finish()
    assert pq.read_table(half)["customer_id"].to_pylist() == ["bob"]


def test_a_credit_that_was_not_learned_yet_is_erased_and_not_counted(ledger, tmp_path, now):
    for number in range(3):
        decided(ledger, f"d{number}", now, {"discount": 14.0})
    decided(ledger, "other", now, {"discount": 14.0}, customer_id="c2")
    columns = tables.credits.c
    learned = tables.credits.update().where(columns.decision_id == "d1").values(count=0.25)
    ledger.write_now(lambda c: c.execute(learned))
    erased = _erasure(ledger, tmp_path).forget(["c1"], now)
    assert erased.learned == 1
    left = ledger.read(lambda c: c.execute(sa.select(columns.decision_id)).scalars().all())
    assert left == ["other"]
