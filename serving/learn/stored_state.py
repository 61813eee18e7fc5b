"""Restores the learner's state from a checkpoint and the steps after it, and keeps checkpoints.

A stored state that does not fit any more is left out: the credits of the ledger are counted again.
They are the source, the state is what follows from them.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import get_meta, set_meta
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.checkpoints import (
    FOLDER,
    KEPT,
    CheckpointFolder,
    StateCheckpoint,
    drop_steps,
    read_checkpoint,
    read_outcomes,
    read_step_tokens,
    unpack_outcomes,
    write_step,
)
from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from training.bandit.bandit_state import BanditState, OutdatedState
from training.params import BanditParams

log = logging.getLogger(__name__)

STATE = "bandit"  # key of the learner's row in the table `learner_state`
NOT_LEARNED = {"service", "gates", "warm_start_weight", "min_probability"}  # settings
PUBLISHED_UNDER = "learner catalogue"  # key in `meta`: the last snapshot's catalogue fingerprint
PUBLISHED_STEP = "learner published"  # key in `meta`: the token of the last snapshot's step

PROBLEM = "learner problem"  # key in `meta`: why the last checkpoint could not be written

ReadImported = Callable[[str], BanditState | None]


@dataclass(frozen=True)
class LearnerState:
    """The state between two steps.

    Attributes
    ----------
    base : str
        Version of the champion that was built on.
    revision : int
        Raised with each write, so that a second learner on the same ledger is noticed.
    token : str or None
        Random name of the step that made the state; None: of an earlier release, or no step.
    is_new : bool
        The state was made anew, and no step tells so yet.
    is_old : bool
        The ledger holds the sums, as an earlier release wrote them.
    published_under : str or None
        Fingerprint of the last snapshot's catalogue; None: there is no snapshot.
    published_token : str or None
        The last snapshot's token; None: of an earlier release, or there is no snapshot.
    """

    base: str
    bandit: BanditState
    revision: int
    published_under: str | None
    token: str | None = None
    is_new: bool = False
    is_old: bool = False
    published_token: str | None = None

    def following(self) -> LearnerState:
        """Return the state after one more step, with a new token."""
        return replace(self, revision=self.revision + 1, token=secrets.token_hex(8))

    @property
    def is_published(self) -> bool:
        """True if the last snapshot has all that was learned."""
        return self.published_token == self.token


class StateStore:
    """Restores the state of a learner, and keeps its checkpoints."""

    def __init__(
        self,
        ledger: Ledger,
        updates: BanditUpdates,
        params: BanditParams,
        folder: CheckpointFolder,
    ) -> None:
        self._ledger, self._updates, self._params = ledger, updates, params
        self._folder = folder
        self._kept_revisions: list[int] = []  # of the checkpoints that this process wrote
        self._problem = ""  # as it is in the ledger

    def restore(self, delays: ResponseDelays, read_imported: ReadImported) -> LearnerState:
        """Read the state, or count all credits of the ledger again.

        Parameters
        ----------
        read_imported
            The state that a base has learned from imported decisions; None if it cannot be read.
        """
        row, tokens, under, published, self._problem = self._ledger.read(_read_rows)
        revision, token = (row.revision, row.token) if row is not None else (0, None)
        kept = dict[str, Any](revision=revision, token=token, published_under=under)
        kept["published_token"] = published if row is not None else None
        is_old = row is not None and row.bandit_state is not None
        for base, bandit, begin in self._begins(row, tokens):
            if bandit is not None and self._learn_steps(bandit, begin, revision):
                self._kept_revisions = [begin]
                return LearnerState(base, bandit, is_new=is_old, is_old=is_old, **kept)
        base = PRIOR if row is None else row.base
        imported = read_imported(base)
        if imported is None or not self._updates.fits(imported):
            base, imported = PRIOR, self._updates.blank()
        recounted = self._updates.recounted(imported, 0, delays)
        is_new = row is not None or recounted.counted > 0
        if is_new:
            log.info("No checkpoint fits the ledger; all credits were counted again")
        return LearnerState(base, recounted, is_new=is_new, **kept)

    def write_checkpoint(self, state: LearnerState) -> bool:
        """Write a checkpoint outside of any transaction; return True if it is on the disk.

        Learning goes on without one, as when the disk is full; `read_learner_problem` says so.
        """
        if not self._folder.exists:
            return False
        try:
            payload = state.bandit.to_bytes()
            self._folder.write(state.revision, state.token or "", state.base, payload)
        except OSError as error:
            self._say(
                f"learner: its checkpoint cannot be written ({error.strerror}); learning goes "
                "on, but a restart would count all outcomes again. Make room on the disk of "
                f"NBA_HOME, and let the server write to its folder {FOLDER!r}"
            )
            return False
        self._kept_revisions = [*self._kept_revisions, state.revision][-KEPT:]
        self._say("")
        return True

    def _say(self, problem: str) -> None:
        """Keep a problem where the server reads it for `/readyz`."""
        if problem != self._problem:
            log.warning("%s", problem or "learner: its checkpoint is written again")
            self._ledger.write_now(lambda connection: set_meta(connection, PROBLEM, problem))
            self._problem = problem

    def is_kept(self, revision: int) -> bool:
        """True if the last checkpoints, as many as are kept, are all of one step."""
        return self._kept_revisions == [revision] * KEPT

    def drop_old_steps(self) -> None:
        """Delete the steps that no checkpoint needs any more."""
        drop_steps(self._ledger, self._kept_revisions[0])

    def _begins(
        self, row: sa.Row[Any] | None, tokens: dict[int, tuple[str, bool]]
    ) -> Iterator[tuple[str, BanditState | None, int]]:
        """States to begin with, each with its base and revision, if the steps after it are kept."""
        if row is None:
            return
        last = row.revision
        for one in self._folder.newest_first():
            is_ours = tokens.get(one.revision, ("", False))[0] == one.token
            if is_ours and _all_kept(tokens, one.revision, last):
                yield one.base, self._read(one), one.revision
        if row.bandit_state is not None:  # the state before the first step
            begin = last - len(tokens)
            if _all_kept(tokens, begin, last):
                yield row.base, self._bandit(row.bandit_state), begin
        elif _all_kept(tokens, 0, last):
            yield PRIOR, self._updates.blank(), 0

    def _learn_steps(self, bandit: BanditState, begin: int, end: int) -> bool:
        """Learn the outcomes of the steps after one; return False if they do not fit the state."""
        for revision in range(begin + 1, end + 1):
            packed = self._ledger.read(partial(read_outcomes, revision=revision))
            if packed is None:
                return False
            outcomes = unpack_outcomes(packed)
            if outcomes.rows.shape[1] != len(bandit.encoder.features):
                return False
            bandit.learn(outcomes)
        return True

    def _read(self, checkpoint: StateCheckpoint) -> BanditState | None:
        payload = read_checkpoint(checkpoint)
        if payload is None:
            log.warning("The checkpoint %s is damaged; it is not read", checkpoint.path.name)
        return None if payload is None else self._bandit(payload)

    def _bandit(self, payload: bytes) -> BanditState | None:
        """Read a bandit's state; None if all credits are to be counted again."""
        try:
            bandit = BanditState.from_bytes(payload)
        except OutdatedState:
            log.info("The stored state is of a former format; counting all credits again")
            return None
        learned_with, learns_with = (
            one.model_dump(exclude=NOT_LEARNED) for one in (bandit.params, self._params)
        )
        if learned_with != learns_with:
            log.info("The bandit has other settings; counting all credits again")
            return None
        if not self._updates.fits(bandit):
            log.warning("The stored state is of another domain file; starting without it")
            return None
        return bandit


class RevisionConflict(RuntimeError):
    """Another learner has written to the ledger since this one read its state."""


def write_as_only_learner(
    ledger: Ledger, state: LearnerState, work: Callable[[sa.Connection], None]
) -> None:
    """Write in one transaction.

    Raises
    ------
    RevisionConflict
        If the ledger has another position than the state.
    """

    def write(connection: sa.Connection) -> None:
        if read_position(connection) != (state.revision, state.token):
            raise RevisionConflict("another learner has written to this ledger")
        work(connection)

    ledger.write_now(write)


def write_position(connection: sa.Connection, state: LearnerState, payload: bytes | None) -> None:
    """Write the position of a learner after a step, and the step.

    Parameters
    ----------
    payload : bytes or None
        The packed outcomes of the step; None: the state was made anew.
    """
    assert state.token is not None
    write_step(connection, state.revision, state.token, payload)
    row: dict[str, Any] = {"key": STATE, "base": state.base, "revision": state.revision}
    row["token"] = state.token
    if payload is not None:  # what an earlier release has written stays until a checkpoint is there
        columns = tables.learner_state.c
        update = tables.learner_state.update().where(columns.key == STATE).values(row)
        if connection.execute(update).rowcount:
            return
    tables.upsert(connection, tables.learner_state, [{**row, "bandit_state": None}])


def write_published(connection: sa.Connection, state: LearnerState) -> None:
    """Note which state the last snapshot has."""
    set_meta(connection, PUBLISHED_UNDER, state.published_under or "")
    set_meta(connection, PUBLISHED_STEP, state.published_token or "")


def read_learner_problem(connection: sa.Connection) -> str:
    """Read in a sentence why the last checkpoint could not be written; empty if it was."""
    return get_meta(connection, PROBLEM) or ""


def read_position(connection: sa.Connection) -> tuple[int, str | None]:
    """Read the number of the last step of any learner, and its token."""
    columns = tables.learner_state.c
    query = sa.select(columns.revision, columns.token).where(columns.key == STATE)
    row = connection.execute(query).first()
    return (0, None) if row is None else (row.revision, row.token)


def _read_rows(connection: sa.Connection) -> tuple[Any, ...]:
    query = sa.select(tables.learner_state).where(tables.learner_state.c.key == STATE)
    return (
        connection.execute(query).first(),
        read_step_tokens(connection),
        get_meta(connection, PUBLISHED_UNDER),
        get_meta(connection, PUBLISHED_STEP),
        read_learner_problem(connection),
    )


def _all_kept(tokens: dict[int, tuple[str, bool]], begin: int, end: int) -> bool:
    """Return whether the outcomes of all steps after one are in the ledger."""
    return all(tokens.get(one, ("", False))[1] for one in range(begin + 1, end + 1))
