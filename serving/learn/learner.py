"""Learns from outcomes: turns them into credits, updates the bandit's state and publishes it.

Each step reads what is new, and writes credits and the outcomes that they stand for in *one*
transaction. A learner that is killed at any moment goes on without counting an outcome twice or
losing one. The sums are kept in checkpoints, and what workers load of them in snapshots; both are
written at their own pace.

The *credit* of a shown action is the acceptance that its outcomes stand for, with the count 1. As
long as there is no such outcome, it is 0 with a count that grows with the age of the silence, up to
1 at the end of the attribution window. A later outcome, revision or retraction changes the credit,
and the state with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ledger.ledger import Ledger
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.checkpoints import CheckpointFolder, pack_outcomes
from serving.learn.credits import DecisionErased
from serving.learn.recounts import EncodingThreshold
from serving.learn.steps import AT_ONCE, StepChanges, read_step, write_changes
from serving.learn.stored_state import (
    LearnerState,
    StateStore,
    read_position,
    write_position,
    write_published,
)
from serving.learn.updates import BanditUpdates, FittedTrees
from serving.models.served_models import PRIOR
from serving.models.snapshot_publisher import SnapshotPublisher
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.params import TrainingParams

log = logging.getLogger(__name__)

ReadChampion = Callable[[], tuple[str, Bandit] | None]


class RevisionConflict(RuntimeError):
    """Another learner has written to the ledger since this one read its state."""


class Learner:
    """Learns from the outcomes of one ledger.

    Parameters
    ----------
    catalog
        May be replaced by setting ``catalog``; the next step publishes a snapshot with the new
        priors. A credit that was given under the old catalogue stays until another outcome comes.
    read_champion
        Returns the version and the bandit to build on; None if MLflow has none or does not answer.
    folder
        Of the checkpoints; None: none are kept, and all credits are counted again after a restart.
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        catalog: Catalog,
        params: TrainingParams,
        read_champion: ReadChampion,
        folder: Path | None = None,
    ) -> None:
        self.catalog = catalog
        self._ledger = ledger
        self._params = params.bandit
        self._read_champion = read_champion
        self._champion: tuple[str, Bandit] | None = None  # read last: MLflow may take seconds
        self._updates = BanditUpdates(ledger, domain, params.bandit)
        self._store = StateStore(ledger, self._updates, params.bandit, CheckpointFolder(folder))
        self._delays = ResponseDelays(catalog)
        self._publisher = SnapshotPublisher(ledger)
        self._refused = ""  # champion of another domain, so that it is logged once
        self._threshold = EncodingThreshold(self._updates.shown)
        self._state: LearnerState | None = self._restored()

    def step(self, now: datetime) -> bool:
        """Learn the next batch and publish; return True if a snapshot was published."""
        self.learn(now)
        return self.publish(now)

    def learn(self, now: datetime) -> bool:
        """Learn the next batch of what is new by ``now``; return True if more waits.

        Raises
        ------
        RevisionConflict
            If another learner has written to the ledger. The next step goes on from its state.
        """
        state = self._current()
        if self._delays.catalog.fingerprint != self.catalog.fingerprint:
            self._delays = ResponseDelays(self.catalog)
        layout, delays = self._updates.layout, self._delays
        changes, more = self._ledger.read(lambda c: read_step(c, layout, now, delays, AT_ONCE))
        # The credits of the ledger are those before this step; the changes follow.
        recounted = self._recounted(state, changes)
        if recounted is not None:
            state = replace(state, bandit=recounted, is_new=True)
        try:
            if state.is_new or any(one.old != one.new for one in changes.credits):
                self._commit(state, now, changes)
            elif any(changes):  # a click, say, or an outcome of no_action: no credit is another
                self._write(lambda c: self._write_changes(c, changes, now))
        except DecisionErased:
            log.info("A customer was forgotten during a step; it is computed again")
            return True
        return more

    def publish(self, now: datetime) -> bool:
        """Publish a snapshot of what was learned; return False if the last one has it all."""
        state, catalog = self._current(), self.catalog
        if state.is_published and state.published_under in (None, catalog.fingerprint):
            return False
        # Made before the transaction, which holds the lock that every decision waits for.
        packed = self._publisher.pack(state.bandit, catalog, state.base)
        published = replace(state, published_under=catalog.fingerprint, published_token=state.token)

        def write(connection: sa.Connection) -> None:
            self._publisher.publish(connection, state.base, packed, now)
            write_published(connection, published)

        self._write(write)
        self._state = published
        return True

    def rebase(self, now: datetime) -> bool:
        """Build on the champion if it is another than before; return True if it is.

        A champion has learned from the imported decisions; the credits of served decisions are
        counted on top again.
        """
        state, champion = self._current(), self._read_champion()
        self._champion = champion or self._champion
        if champion is None or champion[0] == state.base:
            return False
        base, bandit = champion
        if not self._updates.fits(bandit.imported):
            if base != self._refused:
                log.warning("Bandit %s was trained for another domain file; not built on", base)
            self._refused = base
            return False
        shown = state.bandit.encoded_at
        recounted = self._updates.recounted(bandit.imported, shown, self._delays)
        self._commit(replace(state, base=base, bandit=recounted, is_new=True), now)
        self.publish(now)
        log.info("Learning on top of bandit %s", base)
        return True

    @property
    def counted(self) -> float:
        """Number of outcomes learned, with the imported ones."""
        return self._current().bandit.counted

    def wants_trees(self) -> bool:
        """True if enough was learned since the trees were fitted, to fit them again."""
        return self._current().bandit.wants_trees()

    def fit_trees(self) -> FittedTrees:
        """Fit trees to the newest shown decisions; takes seconds.

        Changes nothing, so it may run in a thread beside `step`. `adopt_trees` then publishes.
        """
        return self._updates.fit_trees(self._current().bandit)

    def adopt_trees(self, fitted: FittedTrees, now: datetime) -> None:
        """Publish a snapshot with trees that `fit_trees` returned, unless features have changed."""
        state = self._current()
        if fitted.features == state.bandit.encoder.features:
            with self._restored_if_it_fails():
                state.bandit.use_trees(fitted.trees or state.bandit.trees, fitted.counted)
                self._commit(replace(state, is_new=True), now)
            self.publish(now)

    def checkpoint(self) -> Callable[[], None] | None:
        """Copy the state, and return a function that writes the copy to a checkpoint.

        The function takes seconds where there are many actions, so it may run in a thread beside
        `step`. It then deletes the steps that no checkpoint needs.

        Returns
        -------
        None if the last checkpoints have all that was learned.
        """
        state = self._current()
        if state.is_new or state.token is None or self._store.is_kept(state.revision):
            return None
        copy = replace(state, bandit=state.bandit.copied())

        def write() -> None:
            if self._store.write_checkpoint(copy):
                self._store.drop_old_steps()

        return write

    def version(self) -> Bandit | None:
        """The bandit as of now, as the registry keeps it; None: its champion cannot be read."""
        state = self._current()
        imported = self._imported(state.base)
        if imported is None:
            return None
        champion = None if state.base == PRIOR else self._champion  # `_imported` has read it
        until = champion and champion[1].imported_until
        return Bandit(state.bandit.copied(), self._params, imported, until)

    def _current(self) -> LearnerState:
        if self._state is None:
            self._state = self._restored()
        return self._state

    @contextmanager
    def _restored_if_it_fails(self) -> Iterator[None]:
        """Read the state again after a failure: it has learned what was not written."""
        try:
            yield
        except BaseException:
            self._state = None
            self._publisher.forget()
            raise

    def _imported(self, base: str) -> BanditState | None:
        """The state that a base has learned from imported decisions; None if it cannot be read."""
        if base == PRIOR:
            return self._updates.blank()
        champion = self._champion
        if champion is None or champion[0] != base:
            champion = self._champion = self._read_champion()
        return champion[1].imported if champion is not None and champion[0] == base else None

    def _recounted(self, state: LearnerState, changes: StepChanges) -> BanditState | None:
        """Count all credits again where enough decisions were shown since; None: not now."""
        encoded_at = self._threshold.reached(state.bandit.encoded_at, changes.shown_first)
        if not encoded_at:
            return None
        imported = self._imported(state.base)
        if imported is None:
            log.warning("Bandit %s cannot be read; encoding goes on as before", state.base)
            self._threshold.postpone(encoded_at)
            return None
        return self._updates.recounted(imported, encoded_at, self._delays, state.bandit)

    def _restored(self) -> LearnerState:
        return self._store.restore(self._delays, self._imported)

    def _commit(
        self, state: LearnerState, now: datetime, changes: StepChanges | None = None
    ) -> None:
        """Learn changes, and write the step that has done so; use the state once it is on disk."""
        with self._restored_if_it_fails():
            changes = changes or StepChanges()
            outcomes = self._updates.learn(state.bandit, changes.credits)
            following = state.following()
            payload: bytes | None = pack_outcomes(outcomes)
            # Before the step, so that there is no moment at which the state can not be restored.
            if state.is_new and (self._store.write_checkpoint(following) or not state.is_old):
                following, payload = replace(following, is_new=False, is_old=False), None

            def write(connection: sa.Connection) -> None:
                write_position(connection, following, payload)
                self._write_changes(connection, changes, now)

            self._write(write)
        self._state = following

    def _write_changes(
        self, connection: sa.Connection, changes: StepChanges, now: datetime
    ) -> None:
        write_changes(connection, changes, now)
        self._delays.keep_first_shown(connection)

    def _write(self, work: Callable[[sa.Connection], None]) -> None:
        """Write in one transaction, unless another learner has written since the state was read."""
        mine = self._current()

        def write(connection: sa.Connection) -> None:
            if read_position(connection) != (mine.revision, mine.token):
                raise RevisionConflict("another learner has written to this ledger")
            work(connection)

        try:
            self._ledger.write_now(write)
        except RevisionConflict:
            self._state = None
            self._publisher.forget()
            raise
