"""Makes small bandits for tests of other modules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.params import BanditParams

# One linear expert without decay, and no trees: its predictions can be computed by hand.
PLAIN = BanditParams(
    service="unused",
    width=8,
    linear_experts=({"ridge": 100.0, "exploration_scale": 1.0},),
    trees={"at_least": 1_000_000, "growth": 2.0, "newest": 1, "handicap": 0.0},
    min_probability=0.001,
    warm_start_weight=0.3,
)


def plain(*experts: dict[str, float], trees_from: int = 1_000_000, width: int = 8) -> BanditParams:
    """Settings with some linear experts; without any, those of `PLAIN`."""
    found = PLAIN.model_dump() | {"width": width}
    found["trees"] |= {"at_least": trees_from, "newest": 20_000}
    if experts:
        found["linear_experts"] = [{"exploration_scale": 1.0} | one for one in experts]
    return BanditParams.model_validate(found)


def outcomes(
    rows: np.ndarray,
    channels: Sequence[str],
    actions: Sequence[str],
    acceptance: Sequence[float],
    count: float = 1.0,
    n_experts: int = 2,
) -> OutcomeBatch:
    """Outcomes of the first decisions of a ledger; the experts' predictions were not recorded."""
    n = len(channels)
    return OutcomeBatch(
        rows,
        channels,
        actions,
        np.array(acceptance, dtype=np.float64),
        np.full(n, count),
        np.arange(n, dtype=np.float64),
        np.full((n, n_experts), np.nan),
    )


def bandit(encoder: Encoder, told: OutcomeBatch, params: BanditParams = PLAIN) -> Bandit:
    """Return a bandit that has learned some outcomes."""
    state = BanditState(encoder, params)
    state.learn(told)
    return Bandit(state, params)
