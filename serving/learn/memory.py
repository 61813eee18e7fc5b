"""Decides when the learner fits its encoder again, and how long its short memory is then.

Both change all sums, so all credits are counted again (`champion_reader.Recounts`).

A memory that is shorter than the delays would know young silences only, which say little. So the
half-life is many times as long as the decisions that are made within a mean delay. Where answers
come within seconds, it is that of params.yaml.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil, log
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.credits import shown_decisions
from training.bandit.contextual_bandit import next_encoding
from training.params import BanditParams

RETRY_GROWTH = 1 / 8  # more shown decisions until a recount that was not possible is tried again
DELAYS_REMEMBERED = 10.0  # mean delays in one half-life, at least
STEP = 4.0  # scales are powers of it, so that they seldom change


class EncodingThreshold:
    """Tells when the number of shown decisions has reached the next threshold of the encoder.

    Parameters
    ----------
    count_shown
        Counts the decisions that showed an action. It reads them all, so it is called only where
        the threshold may be reached.
    """

    def __init__(self, count_shown: Callable[[], int]) -> None:
        self._count_shown = count_shown
        self._shown: int | None = None  # shown decisions when they were counted; None: not yet
        self._shown_since = 0  # at most so many were shown since they were counted
        self._recount_from = 0  # no recount with fewer shown decisions; 0: by the threshold alone

    def reached(self, encoded_at: int, new: int) -> int:
        """Return the threshold that the number of shown decisions has newly reached; 0 for none.

        Every shown decision comes up in a step, with a first credit or as one of another layout of
        features.

        Parameters
        ----------
        encoded_at : int
            The threshold at which the encoder was fitted last.
        new : int
            So many shown decisions have come up in this step, at most.
        """
        self.come_up(new)
        threshold = next_encoding(encoded_at)
        wanted = max(threshold, self._recount_from)
        if self._shown is not None and self._shown + self._shown_since < wanted:
            return 0
        self._shown, self._shown_since = self._count_shown(), 0
        if self._shown < wanted:
            return 0
        while next_encoding(threshold) <= self._shown:
            threshold = next_encoding(threshold)
        return threshold

    def come_up(self, new: int) -> None:
        """Note that so many shown decisions, at most, have come up."""
        self._shown_since += new

    def postpone(self, encoded_at: int) -> None:
        """Wait for more shown decisions, as the threshold that was reached could not be used."""
        shown = self._shown or encoded_at
        self._recount_from = shown + max(1, int(RETRY_GROWTH * shown))


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
