"""Lists pairs of customers who may be one, in pages, by what has become of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.customers.merge_candidates import (
    count_open,
    find_candidate,
    list_candidates,
)
from features.errors import IdentityUnknown, InvalidRequest
from features.identity import links
from features.identity.candidates import MergeCandidate, note_candidates
from features.identity.keys import KeyNormalizer
from tests.features.live import NOW, SHOP

pytestmark = pytest.mark.databases("sqlite", "postgresql")
MINUTE = timedelta(minutes=1)


def noted(ledger, *pairs, at=NOW):
    found = [MergeCandidate.of(*pair, "cookie:kiosk", "device") for pair in pairs]
    ledger.write_now(lambda c: note_candidates(c, found, at))


def linked(ledger, *pair):
    normalizer = KeyNormalizer(SHOP)
    ledger.write_now(lambda c: links.link(c, normalizer, pair, "told an agent", NOW))


def listed(ledger, status="open", limit=10, after=None):
    found, following = ledger.read(lambda c: list_candidates(c, status, limit, after))
    return [(one.left, one.right) for one in found], following


def test_the_newest_candidates_come_first_page_after_page(ledger):
    noted(ledger, ("c5", "c1"), ("c1", "c4"), ("c1", "c3"))
    noted(ledger, ("c2", "c1"), at=NOW + MINUTE)
    noted(ledger, ("c0", "c9"), at=NOW - MINUTE)
    first, following = listed(ledger, limit=3)
    assert first == [("c1", "c2"), ("c1", "c3"), ("c1", "c4")]
    assert listed(ledger, limit=3, after=following) == ([("c1", "c5"), ("c0", "c9")], None)
    assert listed(ledger, limit=5)[1] is None


def test_a_pair_that_became_one_customer_otherwise_is_merged_and_not_open(ledger):
    noted(ledger, ("c1", "c2"), ("c1", "c3"))
    linked(ledger, "c1", "card:1")
    linked(ledger, "c2", "card:1")
    assert listed(ledger) == ([("c1", "c3")], None)
    assert listed(ledger, "merged") == ([("c1", "c2")], None)
    merged = ledger.read(lambda c: find_candidate(c, ("c2", "c1")))
    assert (merged.status, merged.left_customer, merged.right_customer) == ("merged", "c1", "c1")
    assert ledger.read(count_open) == 1


def test_open_candidates_are_counted_up_to_a_number(ledger):
    noted(ledger, ("c1", "c2"), ("c1", "c3"), ("c1", "c4"))
    linked(ledger, "c1", "c4")
    counted = [ledger.read(lambda c, most=most: count_open(c, most)) for most in (1, 2, 3)]
    assert counted == [1, 2, 2]


def test_a_candidate_names_its_present_customers(ledger):
    noted(ledger, ("c3", "email:a@b.it"))
    linked(ledger, "c1", "email:a@b.it")
    found = ledger.read(lambda c: find_candidate(c, ("email:a@b.it", "c3")))
    assert (found.left_customer, found.right_customer, found.status) == ("c3", "c1", "open")
    assert (found.via, found.reason, found.found_at) == ("cookie:kiosk", "device", NOW)


def test_two_keys_that_are_no_candidate_are_not_found(ledger):
    noted(ledger, ("c1", "c2"))
    with pytest.raises(IdentityUnknown, match="'c1' and 'c3' are no merge candidate"):
        ledger.read(lambda c: find_candidate(c, ("c3", "c1")))


@pytest.mark.parametrize(
    "after", ["", "yesterday", "1 c1", "1 c1 c2 c3", "9" * 18 + " c1 c2", "² c1 c2", "x c1 c2"]
)
def test_a_position_that_no_page_gave_is_refused(ledger, after):
    with pytest.raises(InvalidRequest, match="Expected what an earlier answer gave as 'next'"):
        listed(ledger, after=after)


def test_counting_open_candidates_reads_the_index_of_undecided_ones(ledger):
    if ledger.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics")
    from features.customers.merge_candidates import _UNDECIDED

    query = sa.select(sa.func.count()).where(_UNDECIDED)
    text = str(query.compile(ledger.engine))
    plan = ledger.read(lambda c: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all())
    assert "merge_candidates_undecided" in str(plan)
