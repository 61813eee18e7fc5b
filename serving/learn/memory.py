"""Chooses how long the bandit's short memory is, from the delays of acceptances.

A memory that is shorter than the delays would know young silences only, which say little. So the
half-life is many times as long as the decisions that are made within a mean delay. Where answers
come within seconds, it is that of params.yaml.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil, log
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.credits import shown_decisions
from training.params import BanditParams

DELAYS_REMEMBERED = 10.0  # mean delays in one half-life, at least
STEP = 4.0  # scales are powers of it, so that they seldom change


def memory_scale(
    connection: sa.Connection,
    params: BanditParams,
    shown: int,
    delays: ResponseDelays,
    before: datetime | None = None,
) -> float:
    """Return the factor on the half-lives of ``params``, at least 1.

    Parameters
    ----------
    shown : int
        Delays and decisions are counted as of the decision with this number among those that
        showed an action, so that the factor does not depend on when a learner computes it.
    before
        Only decisions that were shown before this time are numbered; None: all.
    """
    last = _shown_decision(connection, shown, before)
    if last is None:
        return 1.0
    mean_s = delays.mean_delay_s(connection, last.activated_at)
    if mean_s is None:
        return 1.0
    columns = tables.decisions.c
    since = last.activated_at - timedelta(seconds=mean_s)
    within = sa.select(sa.func.min(columns.serial)).where(
        columns.serial <= last.serial, columns.decided_at >= since
    )
    first = connection.execute(within).scalar()
    return scale_of(last.serial - first + 1 if first is not None else 1, params)


def scale_of(decisions: int, params: BanditParams) -> float:
    """Return the factor on the half-lives where so many decisions are made within a mean delay."""
    lives = [one.half_life_decisions for one in params.linear_experts if one.half_life_decisions]
    if not lives:
        return 1.0
    wanted = DELAYS_REMEMBERED * decisions / min(lives)
    return float(STEP ** max(0, ceil(log(wanted, STEP))))


def _shown_decision(connection: sa.Connection, shown: int, before: datetime | None) -> Any:
    """Serial and time of the decision with this number among those that showed an action."""
    columns = tables.decisions.c
    query = shown_decisions(columns.serial, before).add_columns(columns.activated_at)
    return connection.execute(query.order_by(columns.serial).offset(shown - 1).limit(1)).first()
