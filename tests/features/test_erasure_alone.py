"""Two who clean the same files at once, in two workers or beside the regular look, take turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.erasure import Erasure
from features.errors import NotVisible
from features.history import _Folded, _show
from features.tombstones import raise_tombstones
from tests.conftest import NOW

A_WHILE_S = 0.3


class SlowStore:
    """An online store that waits a while for somebody else to come in."""

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
            assert not erased.lingers
    assert online.most == 1


def test_who_comes_second_finds_nothing_left_to_do(ledger, tmp_path):
    online = SlowStore()
    online.second.set()
    erasure = Erasure(ledger, online, tmp_path)
    erasure.forget(["ann"], NOW)
    online.most = 0
    assert erasure.finish() and online.most == 0


def test_a_build_that_folded_somebody_before_they_were_forgotten_does_not_show_them(ledger):
    shown: list[str] = []

    class Store:
        def write(self, customer_ids, states, at) -> None:
            shown.extend(customer_ids)

    folded = _Folded(["ann", "bob"], [0, 0], np.zeros((2, 3)), 2)
    ledger.write_now(lambda connection: raise_tombstones(connection, ["ann"], NOW))
    _show(ledger, Store(), folded)
    assert shown == ["bob"]


def test_files_that_a_build_is_writing_are_cleaned_when_it_has_ended(ledger, tmp_path):
    half = tmp_path / "feast" / "customer_journey.part" / "00000.parquet"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"PAR1 and so on")
    online = SlowStore()
    online.second.set()
    erasure = Erasure(ledger, online, tmp_path)
    with pytest.raises(NotVisible, match="files follow by themselves after the build"):
        erasure.forget(["ann"], NOW)
    table = pa.table({"customer_id": ["ann", "bob"]})
    pq.write_table(table, half)  # the build has come to its end
    assert erasure.finish()
    assert pq.read_table(half)["customer_id"].to_pylist() == ["bob"]
