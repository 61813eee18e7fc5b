"""Keeps the newest outcomes of a `ContextualBandit`, for fitting its encoder and trees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from features.errors import InvalidSetting
from training.arrays import Floats, Indices, ToldRewards

TINY = 1e-9  # a smaller sum of counts is a rounding error


class LoggedOutcomes(NamedTuple):
    """Contexts (n, n_features), actions (n,), rewards (n,), counts (n,) and times (n,)."""

    contexts: Floats
    actions: Indices
    rewards: Floats
    counts: Floats
    at: Floats

    def told(self) -> ToldRewards:
        """Return the rewards as `Encoder.fit` reads them."""
        return ToldRewards(self.actions, self.rewards, self.counts)


def rewards_and_counts(
    rewards: ArrayLike, counts: ArrayLike | None, n: int
) -> tuple[Floats, Floats]:
    """Return the rewards of n outcomes, and their counts; default: 1 each.

    Raises
    ------
    InvalidSetting
        If one is no finite number.
    """
    earned = np.asarray(rewards, dtype=np.float64).reshape(n)
    counted = np.ones(n) if counts is None else np.asarray(counts, dtype=np.float64).reshape(n)
    if not (np.isfinite(earned).all() and np.isfinite(counted).all()):
        raise InvalidSetting(
            "Some reward or count is not a number.",
            expected="finite numbers",
            remedy="Leave out what is still pending; learn it when it is known.",
        )
    return earned, counted


class OutcomeLog:
    """The newest outcomes, at most ``memory`` of them.

    They are rows of one table, which doubles as it grows and is then a ring buffer. So adding an
    outcome takes the same time however many there are.
    """

    def __init__(self, n_features: int, memory: int) -> None:
        self._memory = memory
        self._table = np.empty((min(1024, memory), n_features + 4))
        self.total = 0
        self._range = (np.inf, -np.inf)

    def __len__(self) -> int:
        """Number of outcomes in the log."""
        return min(self.total, self._memory)

    @property
    def n_features(self) -> int:
        """Number of columns of the contexts."""
        return self._table.shape[1] - 4

    @property
    def whole(self) -> bool:
        """True if no outcome was dropped yet."""
        return self.total <= self._memory

    def widen(self, fill: Floats) -> None:
        """Add columns at the end of the contexts, with a value for each of the rows so far."""
        columns = np.broadcast_to(fill, (len(self._table), len(fill)))
        width = self.n_features
        self._table = np.hstack([self._table[:, :width], columns, self._table[:, width:]])

    def reward_range(self, priors: Iterable[float]) -> tuple[float, float]:
        """Return the lowest and the highest of all rewards and prior rewards.

        Rewards that were retracted do not count, unless outcomes were dropped before. While nothing
        counts but priors, the range holds 0 and 1 too.
        """
        low, high = self._range
        known = [low, high] if low <= high else [0.0, 1.0]
        return min([*known, *priors]), max([*known, *priors])

    def append(self, contexts: Floats, actions: Indices, rewards: Floats, counts: Floats) -> Floats:
        """Append outcomes in their order, and return their times, shape (n,).

        The time of an outcome is the number of those before it. That of a retraction is the time
        of the newest equal outcome in the log, so that both have the same weight as they decay.
        """
        if not len(contexts):
            return np.empty(0)
        if len(contexts) == 1:  # the usual case; index arrays would take more time
            only = contexts[0], int(actions[0]), float(rewards[0]), float(counts[0])
            return np.array([self._append_one(*only)])
        if counts.min() < 0:  # a retraction may be of an outcome just before it
            numbers = (values.tolist() for values in (actions, rewards, counts))
            one_by_one = zip(contexts, *numbers, strict=True)
            return np.array([self._append_one(*outcome) for outcome in one_by_one])
        width, began = contexts.shape[1], self.total
        for start in range(0, len(contexts), self._memory):
            part = slice(start, start + self._memory)
            times = np.arange(self.total, self.total + len(contexts[part]))
            self._make_room(self.total + len(times))
            where = times % self._memory
            self._table[where, :width] = contexts[part]
            for column, values in enumerate((rewards, counts, actions), width):
                self._table[where, column] = values[part]
            self._table[where, width + 3] = times
            self.total += len(times)
        self._extend_range(float(rewards.min()), float(rewards.max()))
        return np.arange(began, self.total, dtype=np.float64)

    def _append_one(self, context: Floats, action: int, reward: float, count: float) -> float:
        at = float(self.total)
        if count < 0:
            at = self._time_of(context, action, reward, at)
        self._make_room(self.total + 1)
        row = self._table[self.total % self._memory]
        row[:-4] = context
        row[-4:] = reward, count, action, at
        self.total += 1
        if count >= 0:
            self._extend_range(reward, reward)
        elif self.whole and reward in self._range:
            rewards, counts = self._table[: self.total, [-4, -3]].T
            left = _counted(rewards, counts)
            self._range = (float(left.min()), float(left.max())) if len(left) else (np.inf, -np.inf)
        return at

    def _extend_range(self, lowest: float, highest: float) -> None:
        self._range = min(self._range[0], lowest), max(self._range[1], highest)

    def _time_of(self, context: Floats, action: int, reward: float, otherwise: float) -> float:
        """Time of the newest equal outcome that was not retracted yet."""
        held = self._table[: len(self)]
        held = held[(held[:, -4] == reward) & (held[:, -2] == action)]
        same = (held[:, :-4] == context) | (np.isnan(held[:, :-4]) & np.isnan(context))
        held = held[same.all(axis=1)]
        left = _counted(held[:, -1], held[:, -3])
        return float(left.max()) if len(left) else otherwise

    def newest(self, n: int | None = None) -> LoggedOutcomes:
        """Return the last ``n`` outcomes in their order; default: all in the log."""
        n = len(self) if n is None else min(n, len(self))
        table = self._table[np.arange(self.total - n, self.total) % self._memory]
        width = self.n_features
        actions = table[:, width + 2].astype(np.intp)
        return LoggedOutcomes(table[:, :width], actions, *table[:, [width, width + 1, width + 3]].T)

    def _make_room(self, end: int) -> None:
        if end > len(self._table) < self._memory:
            size = min(self._memory, max(end, 2 * len(self._table)))
            grown = np.empty((size, self._table.shape[1]))
            grown[: self.total] = self._table[: self.total]
            self._table = grown


def _counted(values: Floats, counts: Floats) -> Floats:
    """The distinct values whose counts sum to more than 0."""
    distinct, which = np.unique(values, return_inverse=True)
    found: Floats = distinct[np.bincount(which, weights=counts, minlength=len(distinct)) > TINY]
    return found
