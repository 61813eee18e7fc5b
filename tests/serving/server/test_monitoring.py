"""Tests the metrics: each decision and each event is counted once, by its labels."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from features.ingest.ingest_result import IngestResult
from serving.learn.lag import LearnerLag
from serving.server.disk import DiskSpace
from serving.server.monitoring import (
    count_decision,
    count_events,
    set_disk_free,
    set_learner_lag,
)
from tests.serving.fakes import decide, engine_of


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_each_action_of_a_decision_is_counted_and_the_first_ones_probability(
    ledger, toy_domain, toy_catalog, now
):
    decision = decide(engine_of(toy_catalog, toy_domain, ledger, {}), now, slots=2)
    labels = [
        {"channel": "app", "action": one.action_id, "arm": decision.arm, "known": "False"}
        for one in decision.actions
    ]
    before = [value("nba_decisions_total", **one) for one in labels]
    count, total = value("nba_probability_count"), value("nba_probability_sum")
    count_decision(decision, "app")
    assert [value("nba_decisions_total", **one) for one in labels] == [n + 1 for n in before]
    assert value("nba_probability_count") == count + 1
    found = value("nba_probability_sum") - total
    assert found == pytest.approx(decision.actions[0].probability)


def test_a_decision_without_features_is_counted(ledger, toy_domain, toy_catalog, now):
    engine = engine_of(toy_catalog, toy_domain, ledger, {})
    before = value("nba_features_unknown_total")
    count_decision(decide(engine, now), "app")
    assert value("nba_features_unknown_total") == before
    engine.features.problem = "the online store failed"
    count_decision(decide(engine, now), "app")
    assert value("nba_features_unknown_total") == before + 1


def test_the_free_space_of_each_disk_is_shown():
    set_disk_free({"home": DiskSpace(10, 3), "mlruns": DiskSpace(10, 4)})
    assert value("nba_disk_free_bytes", kind="home") == 3
    assert value("nba_disk_free_bytes", kind="mlruns") == 4


def test_events_are_counted_by_what_became_of_them():
    kinds = ("accepted", "duplicate", "rejected")
    before = [value("nba_events_total", status=kind) for kind in kinds]
    count_events(IngestResult(3, 2, [object()]))  # type: ignore[list-item]
    after = [value("nba_events_total", status=kind) for kind in kinds]
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 2, 1]


def test_the_lag_of_the_learner_is_shown():
    for lag in (LearnerLag(61.5, 7), LearnerLag(0.0, 0)):
        set_learner_lag(lag)
        found = (value("nba_learner_lag_seconds"), value("nba_learner_lag_decisions"))
        assert found == lag
