"""The outcomes a `ContextualBandit` has learned from, for what is fitted anew now and then."""

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
    """The newest outcomes, ``memory`` of them at most.

    One table that grows by doubling and then runs in a ring: adding one costs no more when there
    are many.
    """

    def __init__(self, n_features: int, memory: int) -> None:
        self._memory = memory
        self._table = np.empty((min(1024, memory), n_features + 4))
        self.total = 0

    def __len__(self) -> int:
        """How many are held."""
        return min(self.total, self._memory)

    def append(self, contexts: Floats, actions: Indices, rewards: Floats, counts: Floats) -> None:
        """Add outcomes in their order; each one's time is the number of those before it."""
        if len(contexts) == 1:  # rows mostly come one at a time: without index arrays
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
        """The ``n`` that were added last, in their order; all that are held, if not given."""
        n = len(self) if n is None else min(n, len(self))
        table = self._table[np.arange(self.total - n, self.total) % self._memory]
        width = table.shape[1] - 4
        actions = table[:, width + 2].astype(np.intp)
        return LoggedOutcomes(table[:, :width], actions, *table[:, [width, width + 1, width + 3]].T)

    def _make_room(self, end: int) -> None:
        if end > len(self._table) < self._memory:
            size = min(self._memory, max(end, 2 * len(self._table)))
            grown = np.empty((size, self._table.shape[1]))
            grown[: self.total] = self._table[: self.total]
            self._table = grown
