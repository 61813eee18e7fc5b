"""Keeps account of erasures: which are to be continued, and how far each is."""

from __future__ import annotations

import pytest

from features.ingest.erasure_log import (
    DECISION,
    KEY,
    RETRY,
    add_erasure,
    erasure_statuses,
    finish_erasures,
    note_ids,
    note_problems,
    noted_ids,
    unfinished_erasures,
)
from features.ledger import tables
from tests.conftest import NOW

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def erasure_id(ledger):
    def add(connection):
        new = add_erasure(connection, NOW)
        note_ids(connection, new, KEY, ["ann", "email:a@b.it"])
        note_ids(connection, new, DECISION, ["d1"])
        return new

    return ledger.write_now(add)


def unfinished(ledger, now=NOW):
    return ledger.read(lambda c: unfinished_erasures(c, now))


def said(ledger, erasure_id):
    which = tables.erasures.c.erasure_id == erasure_id
    [status] = ledger.read(lambda c: erasure_statuses(c, which))
    return str(status)


def test_a_new_erasure_is_to_be_continued_with_its_keys(ledger, erasure_id):
    [found] = unfinished(ledger)
    assert (found.erasure_id, found.rows_erased, found.tried) == (erasure_id, False, False)
    assert (sorted(found.keys), found.decision_ids) == (["ann", "email:a@b.it"], ["d1"])
    assert said(ledger, erasure_id) == f"erasure {erasure_id} is still cleaning files"


def test_an_erasure_with_a_bad_file_is_tried_again_after_a_pause(ledger, erasure_id):
    ledger.write_now(lambda c: note_problems(c, erasure_id, {"b.csv": "is no text"}, NOW))
    assert unfinished(ledger) == []
    [found] = unfinished(ledger, NOW + RETRY)
    assert (found.tried, found.problems) == (True, {"b.csv": "is no text"})
    assert said(ledger, erasure_id) == f"erasure {erasure_id} waits for b.csv"


def test_a_finished_erasure_keeps_no_keys(ledger, erasure_id):
    ledger.write_now(lambda c: finish_erasures(c, [erasure_id], NOW))
    assert unfinished(ledger, NOW + 2 * RETRY) == []
    assert ledger.read(lambda c: noted_ids(c, erasure_id, KEY)) == []
    assert said(ledger, erasure_id) == f"erasure {erasure_id} finished at {NOW.isoformat()}"
