"""Keeps the newest outcomes of a `ContextualBandit`, for fitting its encoder and trees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.arrays import Floats, Indices


class LoggedOutcomes(NamedTuple):
    """Contexts (n, n_features), actions (n,), rewards (n,), counts (n,) and times (n,)."""

    contexts: Floats
    actions: Indices
    rewards: Floats
    counts: Floats
    at: Floats


class OutcomeLog:
    """The newest outcomes, at most ``memory`` of them.

    They are rows of one table, which doubles as it grows and is then a ring buffer. So adding an
    outcome takes the same time however many there are.
    """

    def __init__(self, n_features: int, memory: int) -> None:
        self._memory = memory
        self._table = np.empty((min(1024, memory), n_features + 4))
        self.total = 0

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

    def append(self, contexts: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Append outcomes in their order; the time of each is the number of those before it."""
        if len(contexts) == 1:  # the usual case; index arrays would take more time
            self._make_room(self.total + 1)
            row = self._table[self.total % self._memory]
            row[:-4] = contexts[0]
            row[-4:] = rewards[0], counts[0], actions[0], self.total
            self.total += 1
            return
        width = contexts.shape[1]
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
