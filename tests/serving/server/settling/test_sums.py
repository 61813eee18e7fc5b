"""Tests of the sums of rewards: all that waits is summed, by the catalogue that decides then."""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from features.rewards.rewards import rewards
from serving.server.settling.sums import RewardSums
from serving.server.work_pools import WorkPool
from tests.decided import decided


def test_all_decisions_are_summed_at_once_and_anew_under_another_catalogue(
    ledger, toy_domain, toy_catalog, now
):
    for number in range(300):  # more than one step takes
        decided(ledger, f"d{number}", now, {"discount": 7.0}, customer_id=f"c{number}")
    engine: Any = SimpleNamespace(ledger=ledger, domain=toy_domain)
    engine.setup = SimpleNamespace(compiled=SimpleNamespace(catalog=toy_catalog))
    pool = WorkPool("sums", threads=1, most_waiting=1)
    sums = RewardSums(engine, pool)

    def left() -> int:
        catalog = engine.setup.compiled.catalog
        return sum(astuple(rewards(ledger, catalog, now + timedelta(days=1)).not_summed))

    assert left() == 300
    asyncio.run(sums.sum(pause_s=0.0))
    assert left() == 0
    dearer = toy_catalog.actions["discount"].model_copy(update={"value": 99.0})
    actions = {**toy_catalog.actions, "discount": dearer}
    engine.setup.compiled.catalog = toy_catalog.model_copy(update={"actions": actions})
    assert left() == 300
    asyncio.run(sums.sum(pause_s=0.0))
    assert left() == 0
    pool.close()
