"""What Prometheus reads at `/metrics`, beside BentoML's own request times."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from features.ingest.live_events import IngestResult
from serving.contract.decisions import Decision

DECISIONS = Counter("nba_decisions", "Actions chosen.", ["channel", "action", "arm", "known"])
EVENTS = Counter("nba_events", "Events sent to us.", ["status"])
OUTCOMES = Counter("nba_outcomes", "Outcomes taken in.", ["outcome", "status"])
PROBABILITY = Histogram(
    "nba_probability",
    "Probability of the action chosen first; a policy that explores less moves to the right.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0),
)
DEGRADED = Gauge(
    "nba_degraded", "Parts that are missing or broken, see /readyz.", multiprocess_mode="livemax"
)


def count_decision(decision: Decision, channel: str) -> None:
    """Count the actions of one answer."""
    for chosen in decision.actions:
        DECISIONS.labels(channel, chosen.action_id, decision.arm, str(decision.known)).inc()
    PROBABILITY.observe(decision.actions[0].probability)


def count_events(taken: IngestResult) -> None:
    """Count what became of the events of one call."""
    EVENTS.labels("accepted").inc(taken.accepted)
    EVENTS.labels("duplicate").inc(taken.duplicates)
    EVENTS.labels("rejected").inc(len(taken.rejected))
