"""Sums rewards in tests as the background of a server does."""

from __future__ import annotations

from features.ledger.ledger import Ledger
from features.outcomes.reward_steps import STEP, RewardRules, sum_rewards


def sum_all(ledger: Ledger, rules: RewardRules, size: int = STEP) -> None:
    """Do steps until nothing is left."""
    while sum_rewards(ledger, rules, size):
        pass
