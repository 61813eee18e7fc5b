"""Sums rewards in tests as the background of a server does."""

from __future__ import annotations

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.rewards.reward_steps import STEP, RewardRules, sum_rewards


def sum_all(ledger: Ledger, rules: RewardRules, size: int = STEP) -> None:
    """Do steps until nothing is left."""
    while sum_rewards(ledger, rules, size):
        pass


def marked(ledger: Ledger) -> list[tuple[str, str]]:
    """The kinds and keys whose rewards wait to be summed again."""
    marks = tables.reward_marks.c
    query = sa.select(marks.kind, marks.key).order_by(marks.kind, marks.key)
    return [tuple(row) for row in ledger.read(lambda c: c.execute(query).all())]
