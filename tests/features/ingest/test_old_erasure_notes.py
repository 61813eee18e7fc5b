"""Erasures that a former version noted are finished."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.ledger import tables
from tests.conftest import NOW
from tests.features.erasing import make_erasure

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_what_a_former_version_noted_is_finished(ledger, tmp_path):
    file = tmp_path / "sources" / "events.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"customer_id": ["ann", "bob"]}), file)
    note = {"key": f"erasing {NOW.isoformat()}", "value": json.dumps([["ann"], ["d1"]])}
    ledger.write_now(lambda c: tables.insert_new(c, tables.meta, [note]))
    erasure = make_erasure(ledger, tmp_path)
    assert erasure.finish()
    assert pq.read_table(file)["customer_id"].to_pylist() == ["bob"]
    [status] = erasure.statuses()
    assert (status.asked_at, status.finished_at) == (NOW, NOW)
