"""Reads and writes the learner's state in the ledger.

A stored state that does not fit any more is left out: the credits of the ledger are counted again.
They are the source, the state is what follows from them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import get_meta, set_meta
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from training.bandit.bandit_state import BanditState, OutdatedState
from training.params import BanditParams

log = logging.getLogger(__name__)

STATE = "bandit"  # key of the learner's row in the table `learner_state`
NOT_LEARNED = {"service", "gates", "warm_start_weight", "min_probability"}  # settings
PUBLISHED_UNDER = "learner catalogue"  # key in `meta`: the last snapshot's catalogue fingerprint


@dataclass(frozen=True)
class LearnerState:
    """The state between two steps; the table `learner_state` holds the same.

    Attributes
    ----------
    base : str
        Version of the champion that was built on.
    revision : int
        Raised with each write, so that a second learner on the same ledger is noticed.
    published_under : str or None
        Fingerprint of the last snapshot's catalogue; None: there is no snapshot.
    """

    base: str
    bandit: BanditState
    revision: int
    published_under: str | None


def read_learner_state(
    ledger: Ledger, updates: BanditUpdates, params: BanditParams, delays: ResponseDelays
) -> LearnerState:
    """Read the state from the ledger, or make one from the credits, without a champion."""
    query = sa.select(tables.learner_state).where(tables.learner_state.c.key == STATE)
    found, under = ledger.read(
        lambda connection: (
            connection.execute(query).first(),
            get_meta(connection, PUBLISHED_UNDER),
        )
    )
    if found is not None:
        bandit = _read_bandit(found.bandit_state, updates, params)
        if bandit is not None:
            return LearnerState(found.base, bandit, found.revision, under)
    recounted = updates.recounted(updates.blank(), 0, delays)
    return LearnerState(PRIOR, recounted, found.revision if found is not None else 0, under)


def write_learner_state(connection: sa.Connection, state: LearnerState, payload: bytes) -> None:
    """Write a state.

    Parameters
    ----------
    payload : bytes
        The serialised ``state.bandit``, made before the transaction.
    """
    row = {
        "key": STATE,
        "base": state.base,
        "bandit_state": payload,
        "revision": state.revision,
    }
    tables.upsert(connection, tables.learner_state, [row])
    set_meta(connection, PUBLISHED_UNDER, state.published_under or "")


def read_revision(connection: sa.Connection) -> int:
    """Read the number of times that a state was written."""
    columns = tables.learner_state.c
    query = sa.select(columns.revision).where(columns.key == STATE)
    return connection.execute(query).scalar() or 0


def _read_bandit(
    payload: bytes, updates: BanditUpdates, params: BanditParams
) -> BanditState | None:
    """Read a bandit's state; None if all credits are to be counted again."""
    try:
        bandit = BanditState.from_bytes(payload)
    except OutdatedState:
        log.info("The stored state is of a former format; counting all credits again")
        return None
    learned_with, learns_with = (
        one.model_dump(exclude=NOT_LEARNED) for one in (bandit.params, params)
    )
    if learned_with != learns_with:
        log.info("The bandit has other settings; counting all credits again")
        return None
    if not updates.fits(bandit):
        log.warning("The stored state is of another domain file; starting without it")
        return None
    return bandit
