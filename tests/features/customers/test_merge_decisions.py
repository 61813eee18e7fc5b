"""People decide candidates once; events never merge a pair that was refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.customers.merge_candidates import count_open, find_candidate
from features.customers.merge_decisions import decide_candidate
from features.errors import AlreadyDecided, IdentityUnknown
from features.identity import links
from features.identity.bulk_links import link_all
from features.identity.keys import KeyNormalizer
from features.identity.links import links_of
from tests.features.customers.test_merge_candidates import linked, noted
from tests.features.live import NOW, SHOP, customer

pytestmark = pytest.mark.databases("sqlite", "postgresql")
LATER = NOW + timedelta(hours=1)
PAIR = ("c2", "c1")
NORMALIZER = KeyNormalizer(SHOP)


def decide(ledger, verdict, pair=PAIR, cause="they called", at=LATER):
    ledger.write_now(lambda c: decide_candidate(c, NORMALIZER, pair, verdict, cause, at))
    return ledger.read(lambda c: find_candidate(c, pair))


@pytest.mark.parametrize("verdict", ["confirmed", "refused"])
def test_a_verdict_is_kept_with_time_and_cause_and_may_be_repeated(ledger, verdict):
    noted(ledger, PAIR)
    once = decide(ledger, verdict)
    assert (once.status, once.decided_at, once.decided_cause) == (verdict, LATER, "they called")
    again = decide(ledger, verdict, cause="another cause", at=LATER + timedelta(hours=1))
    assert again == once
    assert ledger.read(count_open) == 0


def test_events_never_link_a_pair_that_was_refused(ledger):
    noted(ledger, PAIR)
    decide(ledger, "refused", cause="brother and sister")
    merges = ledger.write_now(lambda c: link_all(c, NORMALIZER, {PAIR: "event e1"}, LATER))
    assert merges == [] and customer(ledger, "c2") == "c2"
    linked(ledger, *PAIR)
    assert customer(ledger, "c2") == "c2"
    [row] = ledger.read(lambda c: links_of(c, ["c1"]))
    assert (row.left, row.right, row.cause) == ("c1", "c2", "merge candidate")
    assert (row.linked_at, row.undone_at, row.undone_cause) == (LATER, LATER, "brother and sister")


def test_another_identifier_of_both_still_merges_a_pair_that_was_refused(ledger):
    noted(ledger, PAIR)
    decide(ledger, "refused")
    both = {("c1", "card:1"): "event e1", ("c2", "card:1"): "event e2", PAIR: "event e3"}
    ledger.write_now(lambda c: link_all(c, NORMALIZER, both, LATER))
    assert customer(ledger, "c2") == customer(ledger, "c1")
    ledger.write_now(lambda c: links.unlink(c, ("c2", "card:1"), "two people", LATER))
    assert customer(ledger, "c2") == "c2"


def test_people_may_still_link_a_pair_that_was_refused(ledger):
    noted(ledger, PAIR)
    decide(ledger, "refused")
    at = LATER + timedelta(hours=1)
    ledger.write_now(lambda c: links.link(c, NORMALIZER, PAIR, "it is one", at, True))
    assert customer(ledger, "c2") == customer(ledger, "c1")


def test_a_candidate_that_is_found_again_stays_decided(ledger):
    noted(ledger, PAIR)
    decide(ledger, "refused")
    noted(ledger, PAIR, at=LATER)
    assert ledger.read(lambda c: find_candidate(c, PAIR)).status == "refused"


@pytest.mark.parametrize(
    ("first", "second", "remedy"),
    [("confirmed", "refused", "/v1/unlink"), ("refused", "confirmed", "/v1/link")],
)
def test_another_verdict_is_refused_with_the_way_to_change_it(ledger, first, second, remedy):
    noted(ledger, PAIR)
    once = decide(ledger, first)
    with pytest.raises(AlreadyDecided, match=f"'c1' and 'c2' were {first} at 2026-11-22T11:00:00Z"):
        decide(ledger, second)
    with pytest.raises(AlreadyDecided, match=f"send both keys to {remedy}."):
        decide(ledger, second)
    assert ledger.read(lambda c: find_candidate(c, PAIR)) == once


def test_two_who_are_one_customer_already_cannot_be_refused_but_confirmed(ledger):
    noted(ledger, PAIR)
    linked(ledger, "c1", "card:1")
    linked(ledger, "c2", "card:1")
    with pytest.raises(AlreadyDecided, match="one customer, 'c1', already"):
        decide(ledger, "refused")
    assert decide(ledger, "confirmed").status == "confirmed"


def test_a_pair_that_is_no_candidate_cannot_be_decided(ledger):
    with pytest.raises(IdentityUnknown):
        decide(ledger, "refused")
    assert ledger.read(lambda c: links_of(c, ["c1"])) == []
