"""Keeps shown actions in arrays, with the service's curves of delays and counts of silences.

`tests.bench.delay` plays with it. An array stands for the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from features.business.catalog import Catalog
from features.outcomes.credit_rules import ShownAction
from features.outcomes.delay_epochs import WINDOWS_READ, ResponseDelays, newest_epoch
from features.outcomes.response_delays import Delays
from features.outcomes.silence import FRACTIONS, SilentInterval
from training.arrays import Floats, Ints
from training.bandit.bandit_state import OutcomeBatch

ACTIONS = ("first", "second", "third")
DAY_S = 86_400.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def catalog_of(windows: tuple[float, ...]) -> Catalog:
    """Return a catalogue of three actions of equal value with these windows, in days."""
    return Catalog.model_validate(
        {
            "outcomes": {"accepted": {"acceptance": 1}},
            "control_group": {"share": 0},
            "actions": {
                action: {
                    "issue": "serve",
                    "group": "all",
                    "value": 1,
                    "cost": 0,
                    "attribution_days": days,
                    "prior": {"acceptance": 0.1},
                    "treatments": {"app": {"title": action}},
                }
                for action, days in zip(ACTIONS, windows, strict=True)
            },
        }
    )


class ArrayDelays(ResponseDelays):
    """The service's curves of delays, of acceptances that stand in arrays."""

    def __init__(self, catalog: Catalog, log: Log) -> None:
        super().__init__(catalog)
        self._log = log
        self._first_shown_at = BEGAN

    def _read(self, connection: Any, as_of: datetime, action_id: str, most: int) -> Delays:
        now_s, log, action = (as_of - BEGAN).total_seconds(), self._log, ACTIONS.index(action_id)
        since = now_s - WINDOWS_READ * log.windows_s[action]
        found = np.flatnonzero((log.action == action) & (log.yes_at <= now_s))
        found = found[log.shown_at[found] > since]
        found = found[:: max(1, len(found) // most)]
        shown = log.shown_at[found]
        return Delays(log.yes_at[found] - shown, now_s - shown)


@dataclass
class Log:
    """Shown actions: when, which, when the acceptance comes (inf: never), and what was counted."""

    windows_s: Floats
    shown_at: Floats = field(default_factory=lambda: np.empty(0))
    action: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    yes_at: Floats = field(default_factory=lambda: np.empty(0))
    count: Floats = field(default_factory=lambda: np.empty(0))
    reward: Floats = field(default_factory=lambda: np.empty(0))
    revise_at: Floats = field(default_factory=lambda: np.empty(0))
    predictions: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def add(self, at: Floats, action: Ints, yes_at: Floats, predictions: Floats) -> None:
        n = len(at)
        new = (at, action, yes_at, np.zeros(n), np.zeros(n), at)
        names = ("shown_at", "action", "yes_at", "count", "reward", "revise_at")
        for name, values in zip(names, new, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        before = self.predictions.reshape(-1, predictions.shape[1])
        self.predictions = np.concatenate([before, predictions])

    def batch(self, rows: Ints, count: Floats, reward: Floats) -> OutcomeBatch:
        n = len(rows)
        actions = [ACTIONS[number] for number in self.action[rows].tolist()]
        at, said = rows.astype(np.float64), self.predictions[rows]
        return OutcomeBatch(np.empty((n, 0)), ["app"] * n, actions, reward, count, at, said)


def silence_counts(log: Log, rows: Ints, now_s: float, delays: ArrayDelays, curve: bool) -> Floats:
    """Count silences of an age as the service does, and write when they are revised next."""
    window = log.windows_s[log.action[rows]]
    number = np.searchsorted(FRACTIONS, (now_s - log.shown_at[rows]) / window, side="right") - 1
    number = np.clip(number, 0, len(FRACTIONS) - 1)
    last = len(FRACTIONS) - 1
    begin_s = log.shown_at[rows] + np.take(FRACTIONS, number) * window
    following = log.shown_at[rows] + np.take((*FRACTIONS, np.inf), number + 1) * window
    log.revise_at[rows] = np.where(number < last, following, np.inf)
    found = np.ones(len(rows))
    if not curve:
        return found
    cache: dict[tuple[int, int, int], float] = {}
    open_rows = np.flatnonzero(number < last)
    for at in open_rows.tolist():
        begin_at = BEGAN + timedelta(seconds=float(begin_s[at]))
        epoch = newest_epoch(BEGAN, begin_at)
        action = int(log.action[rows[at]])
        key = (-1 if epoch is None else epoch.number, action, int(number[at]))
        if key not in cache:
            shown_at = BEGAN + timedelta(seconds=float(log.shown_at[rows[at]]))
            ends_at = shown_at + timedelta(seconds=float(log.windows_s[action]))
            shown = ShownAction("", ACTIONS[action], shown_at, ends_at)
            interval = SilentInterval(int(number[at]), begin_at, ends_at)
            cache[key] = delays.silence_count(None, shown, interval)  # type: ignore[arg-type]
        found[at] = cache[key]
    return found
