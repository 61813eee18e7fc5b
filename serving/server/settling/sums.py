"""Sums the rewards that lift reads, in the first worker of a server."""

from __future__ import annotations

import asyncio

from features.rewards.reward_steps import RewardRules, sum_rewards
from serving.decide.engine import Engine
from serving.server.work_pools import WorkPool

BETWEEN_STEPS_S = 0.05  # a step of rewards takes some 0.01 s


class RewardSums:
    """Sums the rewards of one server, by the catalogue that decides at that time.

    Parameters
    ----------
    engine
        Its ledger, domain and catalogue.
    threads
        In which the steps run.
    """

    def __init__(self, engine: Engine, threads: WorkPool) -> None:
        self._engine = engine
        self._threads = threads
        self._rules: RewardRules | None = None

    async def sum(self, pause_s: float = BETWEEN_STEPS_S) -> None:
        """Sum all that waits, in steps that leave time to decisions between them."""
        more = True
        while more:
            catalog = self._engine.setup.compiled.catalog
            if self._rules is None or self._rules.catalog is not catalog:
                self._rules = RewardRules.of(catalog, self._engine.domain)
            more = await self._threads.run(sum_rewards, self._engine.ledger, self._rules)
            await asyncio.sleep(pause_s)
