"""Candidates are noted once, whichever key comes first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.identity.candidates import MergeCandidate, note_candidates
from features.ledger import tables
from tests.features.live import NOW, rows

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_a_pair_is_noted_once_with_its_first_identifier_and_time(ledger):
    found = [
        MergeCandidate.of("c2", "c1", "cookie:kiosk", "device"),
        MergeCandidate.of("c1", "c2", "email:a@b.it", "personal"),
        MergeCandidate.of("c3", "c1", "cookie:kiosk", "device"),
    ]
    ledger.write_now(lambda c: note_candidates(c, found, NOW))
    ledger.write_now(lambda c: note_candidates(c, found[1:], NOW + timedelta(days=1)))
    kept = {(row.left, row.right): row for row in rows(ledger, tables.merge_candidates)}
    assert sorted(kept) == [("c1", "c2"), ("c1", "c3")]
    one = kept["c1", "c2"]
    assert (one.via, one.reason, one.found_at) == ("cookie:kiosk", "device", NOW)
    assert (one.status, one.decided_at, one.decided_cause) == ("open", None, None)
