"""Erases customers: rows in steps, files once for many, and says when it is done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.customers.profiles import account_key, members_of
from features.errors import InvalidSetting
from features.identity.tombstones import add_tombstones
from features.ingest import erasure as erasure_module
from features.ingest.erase_rows import begin_erasure
from features.ingest.erasure_log import RETRY
from features.ledger import tables
from features.store.build import _write_online
from features.store.fold_parts import FoldedPart
from features.store.locks import build_lock
from features.store.table_files import rewrite
from tests.conftest import NOW
from tests.decided import decided
from tests.features.erasing import Store, count, forgotten, happened, known, make_erasure
from tests.features.live import add, kept, person

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def write(file, *customer_ids):
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"customer_id": list(customer_ids)})
    if file.suffix == ".csv":
        csv.write_csv(table, file)
    else:
        pq.write_table(table, file)
    return file


def test_only_one_cleans_the_files_at_a_time(ledger, tmp_path):
    online = Store(waits=True)
    erasure = make_erasure(ledger, tmp_path, online)
    known(ledger, "ann")
    ledger.write_now(lambda c: begin_erasure(c, ["ann"], NOW))
    with ThreadPoolExecutor(3) as pool:
        assert any(pool.map(lambda _: erasure.finish(), range(3)))
    assert (online.most, online.erased) == (1, ["ann"])


def test_who_comes_second_finds_nothing_left_to_do(ledger, tmp_path):
    erasure = forgotten(ledger, tmp_path, "ann")
    assert erasure.finish()
    erasure.online.most = 0
    assert erasure.finish() and erasure.online.most == 0


def test_the_files_are_cleaned_once_for_many_and_the_plain_keys_are_deleted(
    ledger, tmp_path, monkeypatch
):
    file = write(tmp_path / "sources" / "events.parquet", "ann", "bob", "eve")
    rewritten = []
    monkeypatch.setattr(
        erasure_module, "rewrite", lambda *given: rewritten.append(given) or rewrite(*given)
    )
    erasure = forgotten(ledger, tmp_path, "ann", "bob")
    assert [one.finished_at for one in erasure.statuses()] == [None, None]
    assert count(ledger, tables.erasure_keys) == 2
    erasure.clock.now = NOW + timedelta(seconds=5)
    assert erasure.finish() and len(rewritten) == 1
    assert pq.read_table(file)["customer_id"].to_pylist() == ["eve"]
    assert [one.finished_at for one in erasure.statuses()] == [erasure.clock.now] * 2
    assert count(ledger, tables.erasure_keys) == 0


def test_two_who_are_forgotten_in_the_same_microsecond_are_both_erased(ledger, tmp_path):
    file = write(tmp_path / "sources" / "events.csv", "ann", "bob", "eve")
    assert forgotten(ledger, tmp_path, "ann", "bob").finish()
    assert "ann" not in file.read_text() and "bob" not in file.read_text()


def test_who_comes_back_at_once_keeps_what_is_new(ledger, tmp_path):
    known(ledger, "ann")
    erasure = make_erasure(ledger, tmp_path)
    ledger.write_now(lambda c: begin_erasure(c, ["ann"], NOW))
    assert erasure.readmit(["ann"]) == 1
    ledger.write_now(lambda c: tables.insert_new(c, tables.events, [happened(1, "ann")]))
    assert erasure.finish()
    assert count(ledger, tables.events) == 1 and erasure.online.erased == []


def test_a_forgotten_customer_belongs_to_no_account_which_is_folded_again(ledger, tmp_path):
    add(ledger, tables.customers, person("ann", "acme"), person("bob", "acme"))
    make_erasure(ledger, tmp_path).forget(["ann"], NOW)
    assert ledger.read(lambda c: members_of(c, account_key("acme"))) == ["bob"]
    assert [*kept(ledger)] == [account_key("acme")]


def test_a_build_that_folded_somebody_before_they_were_forgotten_does_not_show_them(ledger):
    shown: list[str] = []

    class Store:
        def write_packed(self, customer_ids, packed, at) -> None:
            shown.extend(customer_ids)

    folded = FoldedPart(["ann", "bob"], [0, 0], [[0.0, 1.0], [0.0, 1.0]], 2, {})
    ledger.write_now(lambda connection: add_tombstones(connection, ["ann"], NOW))
    _write_online(ledger, Store(), folded)
    assert shown == ["bob"]


def _half(folder):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "00000.parquet"
    file.write_bytes(b"PAR1 and so on")
    return file


def test_what_a_build_that_was_cut_off_left_is_removed(ledger, tmp_path):
    half = _half(tmp_path / "feast" / "customer_journey.part")
    forgotten(ledger, tmp_path, "ann").finish()
    assert not half.exists()


def test_what_a_build_is_writing_is_left_to_it(ledger, tmp_path):
    half = _half(tmp_path / "feast" / "customer_journey.part")
    with build_lock(tmp_path / "feast" / "customer_journey"):
        forgotten(ledger, tmp_path, "ann").finish()
    assert half.exists()


def test_only_one_build_is_at_work(tmp_path):
    folder = tmp_path / "customer_journey"
    locked = pytest.raises(InvalidSetting, match=r"holds build\.lock")
    with build_lock(folder), locked, build_lock(folder):
        pass


def test_a_file_that_cannot_be_read_is_set_aside_and_the_others_are_cleaned(
    ledger, tmp_path, monkeypatch
):
    latin = tmp_path / "sources" / "shop" / "events.csv"
    latin.parent.mkdir(parents=True)
    latin.write_bytes("customer_id,text\nann,caff\xe8\nbob,tea\n".encode("latin-1"))
    half = _half(tmp_path / "sources")
    whole = write(tmp_path / "sources" / "whole.csv", "ann", "bob")
    erasure = forgotten(ledger, tmp_path, "ann")
    assert not erasure.finish()
    assert "ann" not in whole.read_text()
    assert {*erasure.problems} == {"sources/shop/events.csv", "sources/00000.parquet"}
    assert erasure.problems["sources/00000.parquet"] == "cannot be cleaned (ArrowInvalid)"
    assert str(erasure.statuses()[0]).endswith(
        "waits for sources/00000.parquet, sources/shop/events.csv"
    )
    again = []  # files that are looked at again: those that could not be read
    monkeypatch.setattr(
        erasure_module, "rewrite", lambda file, gone: again.append(file) or rewrite(file, gone)
    )
    write(half, "ann", "bob")
    assert not erasure.finish()  # it is tried again after a minute
    assert pq.read_table(half)["customer_id"].to_pylist() == ["ann", "bob"]
    erasure.clock.now += RETRY
    assert not erasure.finish()
    assert pq.read_table(half)["customer_id"].to_pylist() == ["bob"]
    assert {*erasure.problems} == {"sources/shop/events.csv"}
    latin.write_text(latin.read_text("latin-1"), encoding="utf-8")
    erasure.clock.now += RETRY
    assert erasure.finish() and not erasure.problems
    assert {*again} == {latin, half}
    assert "ann" not in latin.read_text() and "bob,tea" in latin.read_text().replace('"', "")


def test_an_online_store_that_is_down_is_named_and_tried_again(ledger, tmp_path):
    known(ledger, "ann")
    erasure = make_erasure(ledger, tmp_path)
    erasure.online.broken = True
    assert erasure.forget(["ann"], NOW).rows.done
    assert not erasure.finish()
    assert erasure.problems == {"the online store": "cannot be cleaned (OSError)"}
    erasure.online.broken = False
    erasure.clock.now += RETRY
    assert erasure.finish() and erasure.online.erased == ["ann"]


def test_a_credit_that_was_not_learned_yet_is_erased_and_not_counted(ledger, tmp_path, now):
    for number in range(3):
        decided(ledger, f"d{number}", now, {"discount": 14.0})
    decided(ledger, "other", now, {"discount": 14.0}, customer_id="c2")
    columns = tables.credits.c
    learned = tables.credits.update().where(columns.decision_id == "d1").values(count=0.25)
    ledger.write_now(lambda c: c.execute(learned))
    erased = make_erasure(ledger, tmp_path).forget(["c1"], now)
    assert erased.rows.learned == 1
    left = ledger.read(lambda c: c.execute(sa.select(columns.decision_id)).scalars().all())
    assert left == ["other"]


@pytest.mark.databases("sqlite")
def test_an_erasure_waits_until_the_free_space_of_a_small_ledger_is_wiped(
    ledger, tmp_path, monkeypatch
):
    erasure = forgotten(ledger, tmp_path, "ann")
    monkeypatch.setattr(erasure_module, "wipe_free_space", lambda *_: False)
    assert not erasure.finish()
    assert erasure.problems == {"the ledger": "is read for long; deleted bytes may remain"}
    monkeypatch.undo()
    erasure.clock.now += RETRY
    assert erasure.finish() and not erasure.problems


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(("online", "ledger_too"), [(True, True), (False, True), (True, False)])
def test_compacting_says_whether_deleted_data_may_remain(
    ledger, tmp_path, monkeypatch, online, ledger_too
):
    erasure = make_erasure(ledger, tmp_path)
    monkeypatch.setattr(erasure.online, "erase", lambda *_: online)
    monkeypatch.setattr(ledger, "compact", lambda: ledger_too)
    assert erasure.compact() == (online and ledger_too)
