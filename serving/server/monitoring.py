"""Metrics that Prometheus reads at `/metrics`, beside BentoML's own request times."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from features.ingest.ingest_result import IngestResult
from serving.access.traffic_metrics import REMOVED
from serving.contract.decisions import Decision
from serving.effects.surrogate_view import SurrogateView
from serving.learn.lag import MOST_COUNTED, LearnerLag
from serving.policies.stopped_actions import Stops
from serving.server.disk import DiskSpace

EValues = Mapping[tuple[str, str], float]  # by guardrail and action
DECISIONS = Counter("nba_decisions", "Actions chosen.", ["channel", "action", "arm", "known"])
EVENTS = Counter("nba_events", "Events received.", ["status"])
OUTCOMES = Counter("nba_outcomes", "Outcomes received.", ["outcome", "status"])
PROBABILITY = Histogram(
    "nba_probability",
    "Probability of the action of rank 1; higher for a policy that explores less.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0),
)
FEATURES_UNKNOWN = Counter(
    "nba_features_unknown", "Decisions for customers whose features could not be read."
)
DEGRADED = Gauge(
    "nba_degraded", "Parts that are missing or broken, see /readyz.", multiprocess_mode="livemax"
)
DISK_FREE = Gauge(
    "nba_disk_free_bytes",
    "Free space by what is kept there.",
    ["kind"],
    multiprocess_mode="livemin",
)

SET_ASIDE = Gauge(
    "nba_customers_set_aside",
    "Customers whose events cannot be folded, see /readyz.",
    multiprocess_mode="livemax",
)
MERGE_CANDIDATES_OPEN = Gauge(
    "nba_merge_candidates_open",
    "Pairs of customers who may be one person, and wait for people; at most 10,000 are counted.",
    multiprocess_mode="livemax",
)
LEARNER_LAG_S = Gauge(
    "nba_learner_lag_seconds",
    "Age of what waits longest for the learner: an outcome, or a silence since it was due.",
    multiprocess_mode="livemax",
)
LEARNER_LAG_DECISIONS = Gauge(
    "nba_learner_lag_decisions",
    f"Decisions that wait to be learned from; at most {MOST_COUNTED:,} are counted.",
    multiprocess_mode="livemax",
)
LEARNER_SET_ASIDE = Gauge(
    "nba_learner_set_aside",
    "Decisions that the learner could not learn from, see /readyz.",
    multiprocess_mode="livemax",
)
GUARDRAIL_STOPPED = Gauge(
    "nba_guardrail_stopped",
    "1 while a guardrail has switched the action off.",
    ["guardrail", "action"],
    multiprocess_mode="livemax",
)
GUARDRAIL_E_VALUE = Gauge(
    "nba_guardrail_e_value",
    "Evidence that the action harms more than the guardrail allows; 1 is none.",
    ["guardrail", "action"],
    multiprocess_mode="livemax",
)
SURROGATE_DIFFERENCE = Gauge(
    "nba_surrogate_difference",
    "What a showing adds to leaving by who left, less what the features tell of it.",
    ["family"],
    multiprocess_mode="livemax",
)
SURROGATE_DISTRUSTED = Gauge(
    "nba_surrogate_distrusted",
    "1 while the features do not tell how actions of the family change leaving.",
    ["family"],
    multiprocess_mode="livemax",
)
EFFECT_DURATION_DAYS = Gauge(
    "nba_effect_duration_days",
    "How long an action changes the rate of leaving, as learned.",
    multiprocess_mode="livemax",
)


def count_decision(decision: Decision, channel: str) -> None:
    """Count the actions of one answer."""
    for chosen in decision.actions:
        DECISIONS.labels(channel, chosen.action_id, decision.arm, str(decision.known)).inc()
    PROBABILITY.observe(decision.actions[0].probability)
    if any(text.startswith("features: ") for text in decision.degraded):
        FEATURES_UNKNOWN.inc()


def count_events(result: IngestResult) -> None:
    """Count the accepted, duplicate and rejected events of one request."""
    EVENTS.labels("accepted").inc(result.accepted)
    EVENTS.labels("duplicate").inc(result.duplicates)
    EVENTS.labels("rejected").inc(len(result.rejected))


def set_disk_free(spaces: Mapping[str, DiskSpace]) -> None:
    """Set the free space of each disk."""
    for kind, space in spaces.items():
        DISK_FREE.labels(kind).set(space.free)


def set_learner_lag(lag: LearnerLag) -> None:
    """Set how long, and how many, decisions wait for the learner."""
    LEARNER_LAG_S.set(lag.seconds)
    LEARNER_LAG_DECISIONS.set(lag.decisions)


def set_stops(before: Stops, now: Stops) -> None:
    """Set which actions guardrails have switched off."""
    for name, stop in before.items():
        GUARDRAIL_STOPPED.labels(stop.guardrail, name).set(0)
    for name, stop in now.items():
        GUARDRAIL_STOPPED.labels(stop.guardrail, name).set(1)


def set_e_values(before: EValues, now: EValues) -> None:
    """Set the e-value of each guardrail and action; what has none any more is removed."""
    for labels in before.keys() - now.keys():
        GUARDRAIL_E_VALUE.labels(*labels).set(REMOVED)
    for labels, e_value in now.items():
        GUARDRAIL_E_VALUE.labels(*labels).set(e_value)


def set_surrogate(before: SurrogateView | None, now: SurrogateView | None) -> None:
    """Set what the audit of the surrogate of leaving has found; None: there is no audit."""
    rows = {row.family: row for row in now.rows} if now else {}
    for family in {row.family for row in before.rows} - rows.keys() if before else ():
        SURROGATE_DIFFERENCE.labels(family).set(REMOVED)
        SURROGATE_DISTRUSTED.labels(family).set(REMOVED)
    for family, row in rows.items():
        SURROGATE_DIFFERENCE.labels(family).set(row.by_truth - row.by_surrogate)
        SURROGATE_DISTRUSTED.labels(family).set(row.disagrees)
    EFFECT_DURATION_DAYS.set(now.duration_days if now else REMOVED)
