"""Tests that the value of a customer stays when retention deletes its events."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from features.business.domain import Domain
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ingest.erase_rows import begin_erasure
from features.ledger import tables
from features.ledger.derived_tables import mark_customers
from features.ledger.ledger import Ledger
from features.rewards.pruned_events import read_pruned
from features.rewards.reward_steps import RewardRules
from features.settings import load_settings
from features.store import retention
from features.store.retention import RetentionPolicy
from tests.conftest import NOW
from tests.features.erasing import count
from tests.features.rewards.test_reward_steps import (
    CUSTOMERS,
    LEAVING,
    happened,
    summed_events,
    with_spend,
)
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY = timedelta(days=1)


def prune(ledger: Ledger, domain: Domain, home, days: float) -> None:
    settings = load_settings({"NBA_HOME": str(home), "NBA_RETENTION_EVENTS_DAYS": str(days)})
    RetentionPolicy(ledger, domain, settings).prune(NOW)


def merge(ledger: Ledger, domain: Domain, *pair: str) -> None:
    ledger.write_now(lambda c: link(c, KeyNormalizer(domain), pair, "test", NOW))


@pytest.mark.parametrize("changes", [{}, LEAVING], ids=["silent", "happens"])
@pytest.mark.parametrize("seed", range(3))
def test_the_rows_are_those_of_before_however_often_they_are_computed(
    ledger, toy_catalog, toy_domain, tmp_path, monkeypatch, changes, seed
):
    monkeypatch.setattr(retention, "EVENTS_PER_STEP", 3)
    rng, domain = np.random.default_rng(seed), with_spend(toy_domain, **changes)
    merge(ledger, domain, "c1", "c2")
    for number in range(60):
        customer_id, kind = str(rng.choice(CUSTOMERS)), str(rng.choice(["order", "visit"]))
        at = NOW - float(rng.random()) * 300 * DAY
        happened(ledger, domain, f"e{number}", customer_id, at, kind)
    rules = RewardRules.of(toy_catalog, domain)
    sum_all(ledger, rules)
    before = summed_events(ledger)
    events = count(ledger, tables.events)
    for days in (200, 100):
        prune(ledger, domain, tmp_path, days)
        ledger.write_now(lambda c: mark_customers(c, CUSTOMERS))
        sum_all(ledger, rules)
        assert summed_events(ledger) == before
    assert count(ledger, tables.events) < events / 2
    other = with_spend(domain, objective={"margin": 0.5})
    for one in (RewardRules.of(toy_catalog, other), rules):
        sum_all(ledger, one)
    assert summed_events(ledger) == before
    happened(ledger, domain, "new", "c3", NOW, "order")
    sum_all(ledger, rules)
    whole = summed_events(ledger)
    ledger.write_now(lambda c: mark_customers(c, CUSTOMERS))
    sum_all(ledger, rules)
    assert summed_events(ledger) == whole != before


def test_a_customer_without_events_is_found_by_the_first_sum_and_by_a_walk(
    ledger, toy_catalog, toy_domain, tmp_path
):
    domain = with_spend(toy_domain, **LEAVING)
    happened(ledger, domain, "e1", "c1", NOW - 300 * DAY, "order")
    prune(ledger, domain, tmp_path, 200)
    assert count(ledger, tables.events) == 0
    sum_all(ledger, RewardRules.of(toy_catalog, domain))
    before = summed_events(ledger)
    assert list(before.values()) == [(0, -1.25)]
    # Another definition holds for the events that are left.
    other = with_spend(toy_domain, **LEAVING | {"objective": {"margin": 0.5}})
    sum_all(ledger, RewardRules.of(toy_catalog, other))
    assert summed_events(ledger) == before


def test_a_merge_takes_the_value_along_and_the_newest_moment_counts(
    ledger, toy_catalog, toy_domain, tmp_path
):
    """c2 left before all its events were deleted; c1 comes back for both."""
    domain = with_spend(toy_domain, **LEAVING)
    rules = RewardRules.of(toy_catalog, domain)
    happened(ledger, domain, "e1", "c1", NOW - 300 * DAY, "order")
    happened(ledger, domain, "e2", "c2", NOW - 290 * DAY, "visit")
    happened(ledger, domain, "e3", "c2", NOW - 280 * DAY, "order")
    prune(ledger, domain, tmp_path, 200)
    merge(ledger, domain, "c1", "c2")
    sum_all(ledger, rules)
    found = summed_events(ledger)
    assert {key[0] for key in found} == {"c1"}
    assert list(found.values()) == [(0, -1.25), (1, 0.0), (-1, -1.25)]
    pruned = ledger.read(lambda c: read_pruned(c, ["c1"]))["c1"]
    assert pruned.last == (tables.micros(NOW - 280 * DAY), True)


def test_the_value_of_a_forgotten_customer_goes(ledger, toy_domain, tmp_path):
    domain = with_spend(toy_domain, **LEAVING)
    for customer_id in ("c1", "c2"):
        happened(ledger, domain, customer_id, customer_id, NOW - 300 * DAY, "order")
    happened(ledger, domain, "new", "c1", NOW, "order")
    prune(ledger, domain, tmp_path, 200)
    assert count(ledger, tables.pruned_event_days) == 2
    ledger.write_now(lambda c: begin_erasure(c, ["c1"], NOW))
    assert set(ledger.read(lambda c: read_pruned(c, ["c1", "c2"]))) == {"c2"}
