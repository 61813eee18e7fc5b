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

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import EPOCH, get_meta, set_meta
from features.outcomes.attribution import sharing_decisions
from serving.learn.credits import (
    BATCH,
    CreditChange,
    Decided,
    closed_windows,
    credited,
    mark_learned,
    newest_credited,
    read_credits,
    read_decided,
    read_lessons,
    unlearned,
    write_credits,
)
from serving.models.served_models import PRIOR
from serving.models.snapshots import pack_model, publish
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.params import TrainingParams

log = logging.getLogger(__name__)

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
    lessons: list[CreditChange]
    windows_closed_at: datetime


@dataclass
class _State:
    """What is kept between steps; the table `learner_state` holds the same."""

    base: str
    bandit_state: BanditState
    windows_closed_at: datetime
    revision: int  # raised with each write: a second learner on the same ledger is noticed
    published_under: str | None  # the catalogue of the last snapshot; None: there is none


class Outpaced(RuntimeError):
    """The ledger holds another state than the one we went on from."""


class Learner:
    """The one learner of a ledger; `process` sees to it that it is one.

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
        # Another one, so that memory is never ahead of the disk: it counts once it is written.
        bandit_state = self._with(state.bandit_state, news.lessons)
        new = replace(state, bandit_state=bandit_state, windows_closed_at=news.windows_closed_at)
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
        if not self._fits(bandit.imported.encoder):
            if base != self._refused:
                log.warning("Bandit %s was trained for another domain file; not built on", base)
            self._refused = base
            return False
        new = replace(self._state, base=base, bandit_state=self._recounted(bandit.imported))
        self._publish(new, [], [], self._catalogs.catalog, now)
        log.info("Learning on top of bandit %s", base)
        return True

    @property
    def counted(self) -> float:
        """How many outcomes were learned, imported ones among them."""
        return self._state.bandit_state.counted

    def wants_trees(self) -> bool:
        """Whether enough was learned since the trees were fitted, to fit them anew."""
        return self._state.bandit_state.wants_trees(self._params.bandit)

    def fit_trees(self) -> BanditState:
        """What is known now, with trees of the newest credits; takes seconds, changes nothing.

        May run beside `step`; `adopt` then brings the trees in.
        """
        bandit_state, newest = self._state.bandit_state, self._params.bandit.trees.newest
        ids = self._ledger.read(lambda connection: newest_credited(connection, newest))
        parts = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        counted = [
            (one, acceptance, 1.0) for part in parts for one, acceptance in self._credited(part)
        ]
        return bandit_state.with_trees(self._outcomes(counted, bandit_state), bandit_state.counted)

    def adopt(self, fitted: BanditState, now: datetime) -> None:
        """Publish with the trees that `fit_trees` came to."""
        new = replace(self._state, bandit_state=self._state.bandit_state.with_trees_of(fitted))
        self._publish(new, [], [], self._catalogs.catalog, now)

    def version(self) -> Bandit:
        """What is known now, as the registry keeps it."""
        state, champion = self._state, self._champion()
        built_on = champion is not None and champion[0] == state.base
        imported = champion[1].imported if champion and built_on else self._blank()
        return Bandit(state.bandit_state, self._params.bandit, imported)

    def _restored(self) -> _State:
        columns = tables.learner_state.c
        query = sa.select(tables.learner_state).where(columns.key == STATE)
        found, under = self._ledger.read(
            lambda c: (c.execute(query).first(), get_meta(c, PUBLISHED_UNDER))
        )
        if found is not None:
            bandit_state = BanditState.from_bytes(found.bandit_state)
            if self._fits(bandit_state.encoder):
                closed_at, revision = found.windows_closed_at, found.revision
                return _State(found.base, bandit_state, closed_at, revision, under)
            log.warning("What was stored is of another domain file; starting without it")
        revision = found.revision if found is not None else 0
        return _State(PRIOR, self._recounted(self._blank()), EPOCH, revision, under)

    def _blank(self) -> BanditState:
        return BanditState.blank(Encoder.blank(self._domain.channels), self._params.bandit)

    def _recounted(self, bandit_state: BanditState) -> BanditState:
        """With all credits of the ledger on top."""
        ids = self._ledger.read(credited)
        for start in range(0, len(ids), BATCH):
            known = self._credited(ids[start : start + BATCH])
            lessons = [CreditChange(one, None, acceptance) for one, acceptance in known]
            bandit_state = self._with(bandit_state, lessons)
        return bandit_state

    def _credited(self, decision_ids: Sequence[str]) -> list[tuple[Decided, float]]:
        """What was credited to the actions of some decisions."""

        def read(connection: sa.Connection) -> list[tuple[Decided, float]]:
            kept = read_credits(connection, decision_ids)
            decided = read_decided(connection, decision_ids, self._input.fingerprint)
            return [(one, kept[one.shown.key]) for one in decided if one.shown.key in kept]

        return self._ledger.read(read)

    def _fits(self, encoder: Encoder) -> bool:
        return set(encoder.features) <= set(self._input.names)

    def _look(self, connection: sa.Connection, now: datetime, catalog: Catalog) -> _News:
        news = unlearned(connection)
        closed, closed_at = closed_windows(connection, self._state.windows_closed_at, now)
        # Who shares in an outcome may have lost its credit, or got it back.
        shared = sorted(sharing_decisions(connection, news.values()))
        asked = list(dict.fromkeys([*news.values(), *closed, *shared]))
        lessons = read_lessons(connection, asked, self._input.fingerprint, now, catalog)
        return _News(list(news), lessons, closed_at)

    def _with(self, bandit_state: BanditState, lessons: Iterable[CreditChange]) -> BanditState:
        """Take the old credits back and add the new ones."""
        counted = [(one, old, -1.0) for one, old, _ in lessons if old is not None]
        counted += [(one, new, 1.0) for one, _, new in lessons if new is not None]
        return bandit_state.learn(self._outcomes(counted, bandit_state))

    def _outcomes(
        self, counted: Sequence[tuple[Decided, float, float]], bandit_state: BanditState
    ) -> OutcomeBatch:
        """Decided actions with an acceptance and what it counts, as they are learned from."""
        index = {name: number for number, name in enumerate(self._input.names)}
        columns = [index[name] for name in bandit_state.encoder.features]
        n_experts = len(bandit_state.errors.products)
        unknown = [np.nan] * n_experts  # of a decision made with other experts, too
        predictions = [one.expert_predictions for one, _, _ in counted]
        predictions = [one if len(one) == n_experts else unknown for one in predictions]
        rows = [one.row[columns] for one, _, _ in counted]
        return OutcomeBatch(
            rows=np.array(rows).reshape(len(counted), len(columns)),
            channels=[one.channel for one, _, _ in counted],
            actions=[one.shown.action_id for one, _, _ in counted],
            acceptance=np.array([acceptance for _, acceptance, _ in counted]),
            count=np.array([count for _, _, count in counted]),
            at=np.array([one.serial for one, _, _ in counted], dtype=np.float64),
            expert_predictions=np.array(predictions, dtype=np.float64).reshape(-1, n_experts),
        )

    def _publish(
        self,
        state: _State,
        lessons: Sequence[CreditChange],
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
            "bandit_state": state.bandit_state.to_bytes(),
            "revision": state.revision + 1,
        }
        model = state.bandit_state.model(catalog.priors, catalog.groups_of, self._params.bandit)
        ready = pack_model(model)

        def write(connection: sa.Connection) -> None:
            if _revision(connection) != state.revision:
                raise Outpaced("another learner has written to this ledger; reading its state")
            write_credits(connection, lessons)
            mark_learned(connection, outcome_ids)
            tables.replace(connection, tables.learner_state, [kept])
            set_meta(connection, PUBLISHED_UNDER, catalog.fingerprint)
            publish(connection, state.base, ready, now)

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
