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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from pydantic_core import from_json

from features import tables
from features.catalog import NO_ACTION, Catalog
from features.credit import Said, credit
from features.databases import BUSY_MS
from features.domain import Domain
from features.ledger import Ledger
from features.model_input import ModelInput
from features.tables import EPOCH, replace
from serving.models import PRIOR
from training.bandit import Bandit, Encoder, Posterior
from training.params import TrainingParams

log = logging.getLogger(__name__)

BATCH = 2_000  # decisions a step; keeps the writing transaction short
SETTLE = timedelta(milliseconds=BUSY_MS)  # after that a decision is on disk, or has failed
KEPT_SNAPSHOTS = 10_000
STATE = "bandit"  # key of our row in learner_state

Champion = Callable[[], tuple[str, Bandit] | None]


class Decided(NamedTuple):
    """What the ledger knows of one decided action."""

    decision_id: str
    action_id: str
    channel: str
    row: list[float]
    decided_at: datetime
    window_ends_at: datetime


class Lesson(NamedTuple):
    """A credit that is new or revised; None: does not count (before, or any more)."""

    decided: Decided
    old: float | None
    new: float | None


@dataclass
class _State:
    """What is kept between steps; the table `learner_state` holds the same."""

    base: str
    posterior: Posterior
    windows_closed_at: datetime
    revision: int  # raised with each write: a second learner on the same ledger is noticed


class Outpaced(RuntimeError):
    """The ledger holds another state than the one we went on from."""


class Learner:
    """The one learner of a ledger; `serving.learner_process` sees to it that it is one.

    Parameters
    ----------
    champion
        Says which bandit to build on; None if MLflow has none or does not answer.
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        catalog: Catalog,
        params: TrainingParams,
        champion: Champion,
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._catalog = catalog
        self._params = params
        self._champion = champion
        self._input = ModelInput(domain)
        self._refused = ""
        self._state = self._restored()

    def step(self, now: datetime) -> bool:
        """Learn what is new by ``now``; say whether a snapshot was published."""
        state = self._state
        news = self._ledger.read(_unlearned)
        closed, closed_at = self._ledger.read(
            lambda connection: _closed_windows(connection, state.windows_closed_at, now)
        )
        asked = list(dict.fromkeys([*news.values(), *closed]))
        lessons = self._ledger.read(lambda connection: self._lessons(connection, asked, now))
        if not lessons:  # a customer saw it, or a window closed on no_action: nothing to learn
            state.windows_closed_at = closed_at
            if news:
                self._ledger.write_now(lambda c: _mark_learned(c, list(news)))
            return False
        # A copy, so that memory is never ahead of the disk: it counts once it is written.
        new = _State(state.base, state.posterior.copy(), closed_at, state.revision)
        self._count(new.posterior, lessons)
        self._publish(new, lessons, list(news), now)
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
        state = self._state
        posterior = self._recounted(bandit.posterior)
        new = _State(base, posterior, state.windows_closed_at, state.revision)
        self._publish(new, [], [], now)
        log.info("Learning on top of bandit %s", base)
        return True

    def _restored(self) -> _State:
        columns = tables.learner_state.c
        query = sa.select(tables.learner_state).where(columns.key == STATE)
        found = self._ledger.read(lambda connection: connection.execute(query).first())
        if found is not None:
            posterior = Posterior.from_bytes(found.posterior)
            if self._fits(posterior.encoder):
                return _State(found.base, posterior, found.windows_closed_at, found.revision)
            log.warning("The stored posterior is of another domain file; starting without it")
        blank = Posterior(Encoder.blank(self._domain.channels), self._params.bandit.ridge)
        revision = found.revision if found is not None else 0
        return _State(PRIOR, self._recounted(blank), EPOCH, revision)

    def _recounted(self, posterior: Posterior) -> Posterior:
        """A posterior with all credits of the ledger on top."""
        credits = self._ledger.read(lambda c: c.execute(sa.select(tables.credits)).all())
        posterior = posterior.copy()
        for start in range(0, len(credits), BATCH):
            part = credits[start : start + BATCH]
            acceptance = {(c.decision_id, c.action_id): c.acceptance for c in part}
            ids = list(dict.fromkeys(c.decision_id for c in part))
            decided = self._ledger.read(lambda c, ids=ids: self._decided(c, ids))  # type: ignore[misc]
            known = ((one, acceptance.get((one.decision_id, one.action_id))) for one in decided)
            lessons = [Lesson(one, None, new) for one, new in known if new is not None]
            self._count(posterior, lessons)
        return posterior

    def _fits(self, encoder: Encoder) -> bool:
        return set(encoder.features) <= set(self._input.names)

    def _lessons(
        self, connection: sa.Connection, decision_ids: Sequence[str], now: datetime
    ) -> list[Lesson]:
        decided = self._decided(connection, decision_ids)
        outcomes = _outcomes(connection, decision_ids)
        old = _credits(connection, decision_ids)
        lessons = []
        for one in decided:
            key = (one.decision_id, one.action_id)
            said = outcomes.get(key, ())
            new = credit(said, one.decided_at, one.window_ends_at, now, self._catalog)
            if new != old.get(key):
                lessons.append(Lesson(one, old.get(key), new))
        return lessons

    def _decided(self, connection: sa.Connection, decision_ids: Sequence[str]) -> list[Decided]:
        columns = tables.decisions.c
        query = sa.select(
            columns.decision_id,
            columns.channel,
            columns.record,
            columns.answer,
            columns.decided_at,
        ).where(columns.decision_id.in_(decision_ids), columns.served)
        found = []
        for decision_id, channel, record_text, answer, decided_at in connection.execute(query):
            record = from_json(record_text)
            if record["features_layout"] != self._input.fingerprint:
                continue  # decided under another domain file: its numbers mean something else
            row = [np.nan if value is None else value for value in record["features"]]
            for action_id in (action["action_id"] for action in from_json(answer)["actions"]):
                if action_id != NO_ACTION:
                    days = record["attribution_days"][action_id]
                    ends_at = decided_at + timedelta(days=days)
                    found.append(Decided(decision_id, action_id, channel, row, decided_at, ends_at))
        return found

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
            [one.action_id for one, _, _ in counted],
            np.array([acceptance for _, acceptance, _ in counted]),
            np.array([count for _, _, count in counted]),
        )

    def _publish(
        self,
        state: _State,
        lessons: Sequence[Lesson],
        outcome_ids: Sequence[str],
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
        payload = state.posterior.model(self._catalog.priors).to_bytes()
        snapshot = {"base": state.base, "published_at": now, "payload": payload}

        def write(connection: sa.Connection) -> None:
            if _revision(connection) != state.revision:
                raise Outpaced("another learner has written to this ledger; reading its state")
            _write_credits(connection, lessons)
            _mark_learned(connection, outcome_ids)
            replace(connection, tables.learner_state, [kept])
            insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
            sequence = connection.execute(insert, snapshot).scalar_one()
            old = tables.snapshots.c.sequence <= sequence - KEPT_SNAPSHOTS
            connection.execute(tables.snapshots.delete().where(old))

        try:
            self._ledger.write_now(write)
        except Outpaced:
            self._state = self._restored()
            raise
        state.revision += 1
        self._state = state


def _revision(connection: sa.Connection) -> int:
    columns = tables.learner_state.c
    query = sa.select(columns.revision).where(columns.key == STATE)
    return connection.execute(query).scalar() or 0


def _mark_learned(connection: sa.Connection, outcome_ids: Sequence[str]) -> None:
    mine = tables.outcomes.c.outcome_id.in_(outcome_ids)
    connection.execute(tables.outcomes.update().where(mine).values(learned=True))


def _unlearned(connection: sa.Connection) -> dict[str, str]:
    """Outcomes not learned yet, with the decision of each."""
    columns = tables.outcomes.c
    query = sa.select(columns.outcome_id, columns.decision_id).where(~columns.learned)
    rows = connection.execute(query.order_by(columns.received_at).limit(BATCH))
    return {row.outcome_id: row.decision_id for row in rows}


def _closed_windows(
    connection: sa.Connection, closed_at: datetime, now: datetime
) -> tuple[list[str], datetime]:
    """Decisions whose window has ended since ``closed_at``, and until when that is complete."""
    columns = tables.decisions.c
    until = now - SETTLE
    query = (
        sa.select(columns.decision_id, columns.window_ends_at)
        .where(columns.served, columns.window_ends_at > closed_at, columns.window_ends_at <= until)
        .order_by(columns.window_ends_at)
        .limit(BATCH)
    )
    rows = connection.execute(query).all()
    if len(rows) == BATCH:  # more wait; those of the last instant are looked at again
        until = rows[-1].window_ends_at - timedelta(microseconds=1)
    return [row.decision_id for row in rows], max(until, closed_at)


def _outcomes(
    connection: sa.Connection, decision_ids: Sequence[str]
) -> Mapping[tuple[str, str], list[Said]]:
    columns = tables.outcomes.c
    query = sa.select(tables.outcomes).where(columns.decision_id.in_(decision_ids))
    found: dict[tuple[str, str], list[Said]] = {}
    for row in connection.execute(query):
        said = Said(row.outcome_id, row.outcome, row.occurred_at, row.retracts)
        found.setdefault((row.decision_id, row.action_id), []).append(said)
    return found


def _credits(
    connection: sa.Connection, decision_ids: Sequence[str]
) -> Mapping[tuple[str, str], float]:
    columns = tables.credits.c
    query = sa.select(tables.credits).where(columns.decision_id.in_(decision_ids))
    return {(c.decision_id, c.action_id): c.acceptance for c in connection.execute(query)}


def _write_credits(connection: sa.Connection, lessons: Sequence[Lesson]) -> None:
    kept = [
        {"decision_id": one.decision_id, "action_id": one.action_id, "acceptance": new}
        for one, _, new in lessons
        if new is not None
    ]
    replace(connection, tables.credits, kept)
    columns = tables.credits.c
    for one, _, new in lessons:
        if new is None:
            mine = (columns.decision_id == one.decision_id) & (columns.action_id == one.action_id)
            connection.execute(tables.credits.delete().where(mine))
