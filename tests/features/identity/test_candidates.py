"""Candidates are noted once, whichever key comes first."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from tests.features.live import NOW, SHOP, rows

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


def test_two_keys_that_are_one_customer_by_now_are_not_noted(ledger):
    normalizer = KeyNormalizer(SHOP)

    def note(connection):
        link(connection, normalizer, ("c1", "card:1"), "they said so", NOW)
        link(connection, normalizer, ("c1", "card:2"), "they said so", NOW)
        note_candidates(
            connection,
            [
                MergeCandidate.of("card:1", "c1", "cookie:kiosk", "device"),
                MergeCandidate.of("card:1", "card:2", "cookie:kiosk", "device"),
                MergeCandidate.of("card:1", "card:3", "cookie:kiosk", "device"),
                MergeCandidate.of("c7", "c8", "cookie:kiosk", "device"),
            ],
            NOW,
        )

    ledger.write_now(note)
    kept = [(row.left, row.right) for row in rows(ledger, tables.merge_candidates)]
    assert sorted(kept) == [("c7", "c8"), ("card:1", "card:3")]


def test_a_decided_candidate_stays_as_it_is(ledger):
    found = [MergeCandidate.of("c1", "c2", "cookie:kiosk", "device")]
    ledger.write_now(lambda c: note_candidates(c, found, NOW))
    refused = sa.update(tables.merge_candidates).values(status="refused", decided_at=NOW)
    ledger.write_now(lambda c: c.execute(refused))
    ledger.write_now(lambda c: note_candidates(c, found, NOW + timedelta(days=1)))
    [row] = rows(ledger, tables.merge_candidates)
    assert (row.status, row.found_at) == ("refused", NOW)
