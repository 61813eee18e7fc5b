"""Learns from what followed: joins decisions with outcomes and publishes the bandit's posterior.

Each step reads what is new, counts it, and in *one* transaction writes the posterior, marks the
outcomes as learned and publishes a snapshot for the workers: killed at any moment, it goes on
without counting anything twice or losing anything.

What a decided action teaches is its *credit*: the acceptance that its outcomes speak of once one
does, or 0 when its attribution window has closed in silence; until then, nothing. A later outcome
or a retraction revises the credit, and the posterior with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
import sqlalchemy as sa

from features import tables
from features.attribution import sharing
from features.catalog import Catalog
from features.domain import Domain
from features.ledger import Ledger
from features.model_input import ModelInput
from features.tables import EPOCH, get_meta, set_meta
from serving.lessons import (
    BATCH,
    Lesson,
    closed_windows,
    mark_learned,
    read_decided,
    read_lessons,
    unlearned,
    write_credits,
)
from serving.models import PRIOR
from training.bandit import Bandit, Encoder, Posterior
from training.params import TrainingParams

log = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 10_000
STATE = "bandit"  # key of our row in learner_state
PUBLISHED_UNDER = "learner catalogue"  # a fact of the ledger: fingerprint of the last snapshot's

Champion = Callable[[], tuple[str, Bandit] | None]


class Catalogs(Protocol):
    """Has the catalogue that holds now; another one after each step, if need be."""

    @property
    def catalog(self) -> Catalog: ...


class _News(NamedTuple):
    """What a step found: outcomes to be marked, what they teach, windows that have closed."""

    outcome_ids: list[str]
    lessons: list[Lesson]
    windows_closed_at: datetime


@dataclass
class _State:
    """What is kept between steps; the table `learner_state` holds the same."""

    base: str
    posterior: Posterior
    windows_closed_at: datetime
    revision: int  # raised with each write: a second learner on the same ledger is noticed
    published_under: str | None  # the catalogue of the last snapshot; None: there is none


class Outpaced(RuntimeError):
    """The ledger holds another state than the one we went on from."""


class Learner:
    """The one learner of a ledger; `serving.learner_process` sees to it that it is one.

    Parameters
    ----------
    catalogs
        Where the catalogue comes from. When it changes, a snapshot with the new priors is
        published; what was credited under the old one stays until it is asked for again, by another
        outcome or because the window closes.
    champion
        Says which bandit to build on; None if MLflow has none or does not answer.
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        catalogs: Catalogs,
        params: TrainingParams,
        champion: Champion,
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._catalogs = catalogs
        self._params = params
        self._champion = champion
        self._input = ModelInput(domain)
        self._refused = ""
        self._state = self._restored()

    def step(self, now: datetime) -> bool:
        """Learn what is new by ``now``; say whether a snapshot was published."""
        state, catalog = self._state, self._catalogs.catalog
        news = self._ledger.read(lambda connection: self._look(connection, now, catalog))
        changed = state.published_under not in (None, catalog.fingerprint)
        if not news.lessons and not changed:
            # A customer saw it, or a window closed on no_action: nothing to learn.
            state.windows_closed_at = news.windows_closed_at
            if news.outcome_ids:
                self._ledger.write_now(lambda c: mark_learned(c, news.outcome_ids))
            return False
        # A copy, so that memory is never ahead of the disk: it counts once it is written.
        posterior = state.posterior.copy()
        self._count(posterior, news.lessons)
        new = replace(state, posterior=posterior, windows_closed_at=news.windows_closed_at)
        self._publish(new, news.lessons, news.outcome_ids, catalog, now)
        return True

    def rebase(self, now: datetime) -> bool:
        """Build on the champion if it is another than before; say whether it was.

        A champion knows the imported decisions; what was served since is counted on top again.
        """
        champion = self._champion()
        if champion is None or champion[0] == self._state.base:
            return False
        base, bandit = champion
        if not self._fits(bandit.posterior.encoder):
            if base != self._refused:
                log.warning("Bandit %s was trained for another domain file; not built on", base)
            self._refused = base
            return False
        new = replace(self._state, base=base, posterior=self._recounted(bandit.posterior))
        self._publish(new, [], [], self._catalogs.catalog, now)
        log.info("Learning on top of bandit %s", base)
        return True

    def _restored(self) -> _State:
        columns = tables.learner_state.c
        query = sa.select(tables.learner_state).where(columns.key == STATE)
        found, under = self._ledger.read(
            lambda c: (c.execute(query).first(), get_meta(c, PUBLISHED_UNDER))
        )
        if found is not None:
            posterior = Posterior.from_bytes(found.posterior)
            if self._fits(posterior.encoder):
                closed_at, revision = found.windows_closed_at, found.revision
                return _State(found.base, posterior, closed_at, revision, under)
            log.warning("The stored posterior is of another domain file; starting without it")
        blank = Posterior(Encoder.blank(self._domain.channels), self._params.bandit.ridge)
        revision = found.revision if found is not None else 0
        return _State(PRIOR, self._recounted(blank), EPOCH, revision, under)

    def _recounted(self, posterior: Posterior) -> Posterior:
        """A posterior with all credits of the ledger on top."""
        credits = self._ledger.read(lambda c: c.execute(sa.select(tables.credits)).all())
        posterior = posterior.copy()
        for start in range(0, len(credits), BATCH):
            part = credits[start : start + BATCH]
            acceptance = {(c.decision_id, c.action_id): c.acceptance for c in part}
            ids = list(dict.fromkeys(c.decision_id for c in part))
            decided = self._ledger.read(
                lambda c, ids=ids: read_decided(c, ids, self._input.fingerprint)  # type: ignore[misc]
            )
            known = ((one, acceptance.get(one.shown.key)) for one in decided)
            lessons = [Lesson(one, None, new) for one, new in known if new is not None]
            self._count(posterior, lessons)
        return posterior

    def _fits(self, encoder: Encoder) -> bool:
        return set(encoder.features) <= set(self._input.names)

    def _look(self, connection: sa.Connection, now: datetime, catalog: Catalog) -> _News:
        news = unlearned(connection)
        closed, closed_at = closed_windows(connection, self._state.windows_closed_at, now)
        # Who shares in an outcome may have lost its credit, or got it back.
        shared = sorted(sharing(connection, news.values()))
        asked = list(dict.fromkeys([*news.values(), *closed, *shared]))
        lessons = read_lessons(connection, asked, self._input.fingerprint, now, catalog)
        return _News(list(news), lessons, closed_at)

    def _count(self, posterior: Posterior, lessons: Iterable[Lesson]) -> None:
        """Take the old credits back and add the new ones."""
        counted = [(one, old, -1.0) for one, old, _ in lessons if old is not None]
        counted += [(one, new, 1.0) for one, _, new in lessons if new is not None]
        if not counted:
            return
        index = {name: number for number, name in enumerate(self._input.names)}
        columns = [index[name] for name in posterior.encoder.features]
        posterior.learn(
            np.array([one.row for one, _, _ in counted])[:, columns],
            [one.channel for one, _, _ in counted],
            [one.shown.action_id for one, _, _ in counted],
            np.array([acceptance for _, acceptance, _ in counted]),
            np.array([count for _, _, count in counted]),
        )

    def _publish(
        self,
        state: _State,
        lessons: Sequence[Lesson],
        outcome_ids: Sequence[str],
        catalog: Catalog,
        now: datetime,
    ) -> None:
        """Write a new state and what it rests on; it is ours once that is on disk."""
        # Before the transaction: it holds the lock that every decision waits for.
        kept = {
            "key": STATE,
            "base": state.base,
            "windows_closed_at": state.windows_closed_at,
            "posterior": state.posterior.to_bytes(),
            "revision": state.revision + 1,
        }
        payload = state.posterior.model(catalog.priors).to_bytes()
        snapshot = {"base": state.base, "published_at": now, "payload": payload}

        def write(connection: sa.Connection) -> None:
            if _revision(connection) != state.revision:
                raise Outpaced("another learner has written to this ledger; reading its state")
            write_credits(connection, lessons)
            mark_learned(connection, outcome_ids)
            tables.replace(connection, tables.learner_state, [kept])
            set_meta(connection, PUBLISHED_UNDER, catalog.fingerprint)
            insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
            sequence = connection.execute(insert, snapshot).scalar_one()
            old = tables.snapshots.c.sequence <= sequence - KEPT_SNAPSHOTS
            connection.execute(tables.snapshots.delete().where(old))

        try:
            self._ledger.write_now(write)
        except Outpaced:
            self._state = self._restored()
            raise
        under = catalog.fingerprint
        self._state = replace(state, revision=state.revision + 1, published_under=under)


def _revision(connection: sa.Connection) -> int:
    columns = tables.learner_state.c
    query = sa.select(columns.revision).where(columns.key == STATE)
    return connection.execute(query).scalar() or 0
