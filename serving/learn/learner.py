"""Learns from outcomes: turns them into credits, updates the bandit's state and publishes it.

Each step writes credits, and the outcomes that they stand for, in *one* transaction. A learner that
is killed at any moment goes on without counting an outcome twice or losing one. Checkpoints hold
the sums, and snapshots what workers load of them.

The *credit* of a shown action is the acceptance that its outcomes stand for, with the count 1. As
long as there is no such outcome, it is 0 with a count that grows with the age of the silence, up to
1 at the end of the attribution window. A later outcome, revision or retraction changes the credit.
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
from serving.learn.champion_reader import Champions, ReadChampion, Recounts
from serving.learn.checkpoints import CheckpointFolder, pack_outcomes
from serving.learn.credits import DecisionErased, StepSettings
from serving.learn.set_aside import StepSize, all_set_aside, problem_of
from serving.learn.steps import (
    AT_ONCE,
    Batch,
    StepChanges,
    next_batch,
    read_changes,
    set_batch_aside,
    try_again,
    write_changes,
)
from serving.learn.stored_state import (
    LearnerState,
    RevisionConflict,
    StateStore,
    write_as_only_learner,
    write_position,
    write_published,
)
from serving.learn.updates import BanditUpdates, FittedTrees
from serving.models.snapshot_publisher import SnapshotPublisher
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.params import TrainingParams

log = logging.getLogger(__name__)

ALWAYS_AT_ONCE = 10**9  # shown decisions: beside the steps, two runs of one simulation would differ


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
    at_once : int
        Shown decisions, up to which all credits are counted again within a step, and not beside
        the steps; 0: as many as a server.
    steps : StepSettings
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        catalog: Catalog,
        params: TrainingParams,
        read_champion: ReadChampion,
        folder: Path | None = None,
        at_once: int = 0,
        steps: StepSettings = StepSettings(),  # noqa: B008 (it is immutable)
    ) -> None:
        self.catalog = catalog
        self.ledger = ledger
        self._params, self._steps = params.bandit, steps
        self._updates = BanditUpdates(ledger, domain, params.bandit, read=steps.read)
        self._champions = Champions(read_champion, self._updates)
        self._store = StateStore(ledger, self._updates, params.bandit, CheckpointFolder(folder))
        self._delays = ResponseDelays(catalog)
        self._publisher = SnapshotPublisher(ledger)
        self._recounts = Recounts(self._updates, self._champions.imported, at_once=at_once)
        self._size = StepSize(steps.most or AT_ONCE)
        self._tried_again = False  # what was set aside, since the start
        self._state: LearnerState | None = self._restored()

    def step(self, now: datetime) -> bool:
        """Learn the next batch and publish; return True if a snapshot was published."""
        self.learn(now)
        return self.publish(now)

    def learn(self, now: datetime) -> bool:
        """Learn the next batch of what is new by ``now``; return True if more waits.

        It raises `RevisionConflict` if another learner has written; the next call goes on from it.
        """
        self._current()
        if self._delays.catalog.fingerprint != self.catalog.fingerprint:
            self._delays = ResponseDelays(self.catalog)
        if not self._tried_again and self.ledger.read(all_set_aside):
            self._write(lambda connection: try_again(connection, now))
        self._tried_again = True
        batch = self.ledger.read(lambda c: next_batch(c, now, self._size.most))
        try:
            self._learn(batch, now)
        except DecisionErased:
            log.info("A customer was forgotten during a step; it is computed again")
            return True
        except RevisionConflict:
            raise
        except Exception as error:
            if not self._size.gives_up(error, len(batch.decision_ids), bool(batch.retried)):
                raise
            log.error("%s is set aside, not learned from", batch.decision_ids, exc_info=error)
            problem = problem_of(error)
            self._write(lambda c: set_batch_aside(c, batch, problem, now, self._delays))
            self._size.went_on(has_learned=False)
            return True
        self._size.went_on(has_learned=True)
        self._recounts.give_way(batch.is_full)
        return batch.is_full

    def _learn(self, batch: Batch, now: datetime) -> None:
        state, layout, delays = self._current(), self._updates.layout, self._delays
        read = self._steps.read
        changes = self.ledger.read(lambda c: read_changes(c, batch, layout, now, delays, read))
        # The credits of the ledger are those before this step; the changes follow.
        recounted = self._recounts.next_state(state.base, state.bandit, changes.shown_first, delays)
        if recounted is not None:
            state = _counted_anew(state, self._recounts.base, recounted)
        if state.is_new or any(one.old != one.new for one in changes.credits):
            self._commit(state, now, changes)
        elif any(changes):  # a click, say, or an outcome of no_action: no credit is another
            self._write(lambda connection: write_changes(connection, changes, now, delays))

    def publish(self, now: datetime) -> bool:
        """Publish a snapshot of what was learned; return False if the last one has it all."""
        state, catalog = self._current(), self.catalog
        if state.is_published and state.published_under in (None, catalog.fingerprint):
            return False
        # Made before the transaction, which holds the lock that every decision waits for.
        looks = self.ledger.read(lambda connection: self._delays.looks(connection, now))
        packed = self._publisher.pack(state.bandit, catalog, state.base, looks)
        published = replace(state, published_under=catalog.fingerprint, published_token=state.token)

        def write(connection: sa.Connection) -> None:
            self._publisher.publish(connection, state.base, packed, now)
            write_published(connection, published)

        try:
            self._write(write)
        except BaseException:
            self._publisher.forget()
            raise
        self._state = published
        self._publisher.thin(catalog, now)
        return True

    def rebase(self, now: datetime) -> bool:
        """Build on the champion if it is another than before; return True if that is done.

        A champion has learned from the imported decisions; the credits of served decisions are
        counted on top again.
        """
        state = self._current()
        champion = self._champions.another_than(state.base)
        if champion is None:
            return False
        base, imported, shown = champion[0], champion[1].imported, state.bandit.encoded_at
        if self._recounts.begin_on(base, imported, shown, self._delays):
            return False  # the steps go on meanwhile
        recounted = self._updates.recounted(imported, shown, self._delays)
        self._commit(_counted_anew(state, base, recounted), now)
        self.publish(now)
        log.info("Learning on top of bandit %s", base)
        return True

    @property
    def counted(self) -> float:
        """Number of outcomes learned, with the imported ones."""
        return self._current().bandit.counted

    def wants_trees(self, growth: float = 0.0) -> bool:
        """True if enough was learned since the trees were fitted, to fit them again."""
        return self._current().bandit.wants_trees(growth)

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

        It takes seconds where there are many actions, so it may run in a thread beside `step`. Then
        it deletes the steps that no checkpoint needs. None: the last ones have all.
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
        imported = self._champions.imported(state.base)
        if imported is None:
            return None
        until = self._champions.imported_until(state.base)
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
            raise

    def _restored(self) -> LearnerState:
        self._recounts.drop()
        return self._store.restore(self._delays, self._champions.imported)

    def _commit(
        self, state: LearnerState, now: datetime, changes: StepChanges | None = None
    ) -> None:
        """Learn changes, and write the step that has done so; use the state once it is on disk."""
        with self._restored_if_it_fails():
            changes = changes or StepChanges()
            outcomes = self._updates.learn(state.bandit, changes.credits)
            following = state.following()
            payload = pack_outcomes(outcomes) if self._steps.resumes else None
            # Before the step, so that there is no moment at which the state can not be restored.
            if state.is_new and (self._store.write_checkpoint(following) or not state.is_old):
                following, payload = replace(following, is_new=False, is_old=False), None

            def write(connection: sa.Connection) -> None:
                write_position(connection, following, payload)
                write_changes(connection, changes, now, self._delays)

            with self._recounts.step(changes.credits):
                self._write(write)
        self._state = following

    def _write(self, work: Callable[[sa.Connection], None]) -> None:
        """Write in one transaction, unless another learner has written since the state was read."""
        try:
            write_as_only_learner(self.ledger, self._current(), work)
        except RevisionConflict:
            self._state = None
            raise


def _counted_anew(state: LearnerState, base: str, bandit: BanditState) -> LearnerState:
    """The state with all credits counted again.

    Sums that an earlier release left in the ledger are of no use then: the steps that follow are of
    another base, or of another encoder.
    """
    return replace(state, base=base, bandit=bandit, is_new=True, is_old=False)
