"""Keeps shown actions in arrays, with the service's curves of delays and counts of silences.

`tests.bench.delay` and `tests.bench.slots` play with it. An array stands for the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.business.catalog import Catalog
from features.outcomes.credit_rules import ShownAction
from features.outcomes.delay_epochs import WINDOWS_READ, Epoch, ResponseDelays, newest_epoch
from features.outcomes.examination import RankedShowings, look_at, looked_at_in_silence
from features.outcomes.ranked_showings import MOST_DECISIONS, days_read
from features.outcomes.response_delays import Delays
from features.outcomes.silence import FRACTIONS, SilentInterval
from training.arrays import Bools, Floats, Ints
from training.bandit.bandit_state import OutcomeBatch

ACTIONS = ("first", "second", "third")
DAY_S = 86_400.0
Texts = NDArray[np.str_]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def catalog_of(windows: tuple[float, ...], actions: Sequence[str] = ACTIONS) -> Catalog:
    """Return a catalogue of actions of equal value with these windows, in days."""
    return Catalog.model_validate(
        {
            "outcomes": {"accepted": {"acceptance": 1}},
            "arms": {"random": 0, "nobody": 0},
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
                for action, days in zip(actions, windows, strict=True)
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
        now_s, log = (as_of - BEGAN).total_seconds(), self._log
        action = log.actions.index(action_id)
        since = now_s - WINDOWS_READ * log.windows_s[action]
        found = np.flatnonzero((log.action == action) & (log.yes_at <= now_s))
        found = found[log.shown_at[found] > since]
        found = found[:: max(1, len(found) // most)]
        shown = log.shown_at[found]
        return Delays(log.yes_at[found] - shown, now_s - shown)

    def _may_have_own(self, connection: Any, epoch: Epoch, action_id: str) -> bool:
        return True  # arrays are as quickly read as counted

    def _showings(self, connection: Any, epoch: Epoch) -> RankedShowings:
        now_s, log = (epoch.at - BEGAN).total_seconds(), self._log
        several = np.flatnonzero(log.n_shown > 1)
        shown_at, since = log.shown_at[several], now_s - days_read(self.catalog) * DAY_S
        within = several[(shown_at > since) & (shown_at <= now_s)]
        sampled = []
        for is_control in (True, False):
            mine = within[log.is_control[within] == is_control]
            every = max(1, -(-len(np.unique(log.decision[mine])) // MOST_DECISIONS))
            sampled.append(mine[log.decision[mine] % every == 0])
        found = np.concatenate(sampled)
        come = np.zeros(len(found))
        for action, name in enumerate(log.actions):
            mine = log.action[found] == action
            curve = self._curve(connection, epoch, name, float(log.windows_s[action]))
            come[mine] = curve.share(now_s - log.shown_at[found[mine]])
        return RankedShowings(
            channel=log.channel[found],
            action=np.array(log.actions)[log.action[found]],
            rank=log.rank[found],
            believed=log.believed[found],
            shown=come,
            accepted=(log.yes_at[found] <= now_s).astype(np.float64),
        )


@dataclass
class Log:
    """Shown actions: when, which, when the acceptance comes (inf: never), and what was counted.

    ``n_shown`` is how many actions the decision showed, ``believed`` the acceptance that was
    believed at the decision.
    """

    windows_s: Floats
    actions: tuple[str, ...] = ACTIONS
    n_columns: int = 0
    shown_at: Floats = field(default_factory=lambda: np.empty(0))
    action: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    yes_at: Floats = field(default_factory=lambda: np.empty(0))
    count: Floats = field(default_factory=lambda: np.empty(0))
    reward: Floats = field(default_factory=lambda: np.empty(0))
    revise_at: Floats = field(default_factory=lambda: np.empty(0))
    predictions: Floats = field(default_factory=lambda: np.empty((0, 0)))
    decision: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rank: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    n_shown: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    believed: Floats = field(default_factory=lambda: np.empty(0))
    is_control: Bools = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    channel: Texts = field(default_factory=lambda: np.empty(0, dtype=np.str_))
    contexts: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def decisions(self) -> int:
        """The number of decisions."""
        return int(self.decision[-1]) + 1 if len(self.decision) else 0

    @property
    def decided_at(self) -> Floats:
        """The time of each decision."""
        return self.shown_at[self.rank == 1]

    def add(
        self, at: Floats, action: Ints, yes_at: Floats, predictions: Floats, **more: Any
    ) -> None:
        """Append shown actions; without ``more``, each of a decision of its own, on the app."""
        n, before = len(at), len(self.shown_at)
        new = {"shown_at": at, "action": action, "yes_at": yes_at, "revise_at": at}
        new |= {"count": np.zeros(n), "reward": np.zeros(n)}
        ones = np.ones(n, dtype=np.int64)
        new |= {"rank": ones, "n_shown": ones, "believed": np.full(n, np.nan)}
        new |= {"decision": self.decisions + np.arange(n), "channel": np.full(n, "app")}
        new |= {"is_control": np.zeros(n, dtype=np.bool_), **more}
        contexts = new.pop("contexts", np.empty((n, self.n_columns)))
        for name, values in new.items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        for name, rows in (("predictions", predictions), ("contexts", contexts)):
            earlier = getattr(self, name).reshape(before, rows.shape[1])
            setattr(self, name, np.concatenate([earlier, rows]))

    def batch(self, rows: Ints, count: Floats, reward: Floats) -> OutcomeBatch:
        actions = [self.actions[number] for number in self.action[rows].tolist()]
        at, said = self.decision[rows].astype(np.float64), self.predictions[rows]
        contexts = self.contexts.reshape(len(self.shown_at), self.n_columns)[rows]
        channels = self.channel[rows].tolist()
        return OutcomeBatch(contexts, channels, actions, reward, count, at, said)


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
            shown = ShownAction("", log.actions[action], shown_at, ends_at)
            interval = SilentInterval(int(number[at]), begin_at, ends_at)
            cache[key] = delays.silence_count(None, shown, interval)  # type: ignore[arg-type]
        found[at] = cache[key]
    lower = np.flatnonzero(log.rank[rows] > 1)
    for at in lower.tolist():
        looks = delays.looks(None, BEGAN + timedelta(seconds=float(begin_s[at])))  # type: ignore[arg-type]
        one = rows[at]
        look = look_at(looks, str(log.channel[one]), int(log.rank[one]))
        found[at] *= looked_at_in_silence(look, float(log.believed[one]))
    return found
