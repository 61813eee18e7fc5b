"""Learns from outcomes: turns them into credits, updates the bandit's state and publishes it.

Each step reads what is new and writes credits, state and snapshot in *one* transaction. A learner
that is killed at any moment goes on without counting an outcome twice or losing one.

The *credit* of a shown action is the acceptance that its outcomes stand for, with the count 1. As
long as there is no such outcome, it is 0 with a count that grows with the age of the silence, up to
1 at the end of the attribution window. A later outcome, revision or retraction changes the credit,
and the state with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ledger.ledger import Ledger
from features.outcomes.attribution import sharing_decisions
from features.outcomes.delay_epochs import ResponseDelays
from serving.learn.credits import (
    CreditChange,
    Key,
    due_revisions,
    mark_learned,
    read_credit_changes,
    stop_revising,
    unlearned_outcomes,
    write_credits,
)
from serving.learn.stored_state import (
    LearnerState,
    read_learner_state,
    read_revision,
    write_learner_state,
)
from serving.learn.updates import BanditUpdates, FittedTrees
from serving.models.served_models import PRIOR
from serving.models.snapshots import pack_model, publish
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.contextual_bandit import next_encoding
from training.params import TrainingParams

log = logging.getLogger(__name__)

RETRY_GROWTH = 1 / 8  # more shown decisions until a recount that was not possible is tried again

ReadChampion = Callable[[], tuple[str, Bandit] | None]


class _Changes(NamedTuple):
    """Findings of one step, to be written.

    Attributes
    ----------
    outcome_ids
        To be marked as learned.
    credits
        Those that change, and those with another time of revision.
    stopped
        Actions whose silence waits for a revision and cannot be read.
    """

    outcome_ids: Sequence[str] = ()
    credits: Sequence[CreditChange] = ()
    stopped: Sequence[Key] = ()


_NOTHING = _Changes()


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
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        catalog: Catalog,
        params: TrainingParams,
        read_champion: ReadChampion,
    ) -> None:
        self.catalog = catalog
        self._ledger = ledger
        self._params = params.bandit
        self._read_champion = read_champion
        self._champion: tuple[str, Bandit] | None = None  # read last: MLflow may take seconds
        self._updates = BanditUpdates(ledger, domain, params.bandit)
        self._delays = ResponseDelays(catalog)
        self._refused = ""  # champion of another domain, so that it is logged once
        self._shown: int | None = None  # shown decisions when they were counted; None: not yet
        self._shown_since = 0  # at most so many were shown since they were counted
        self._recount_from = 0  # no recount with fewer shown decisions; 0: by the threshold alone
        self._state: LearnerState | None = self._restored()

    def step(self, now: datetime) -> bool:
        """Learn what is new by ``now``; return True if a snapshot was published.

        Raises
        ------
        RevisionConflict
            If another learner has written to the ledger. The next step goes on from its state.
        """
        state, catalog = self._current(), self.catalog
        if self._delays.catalog.fingerprint != catalog.fingerprint:
            self._delays = ResponseDelays(catalog)
        changes = self._ledger.read(lambda connection: self._changes(connection, now))
        replaced = state.published_under not in (None, catalog.fingerprint)
        # The credits of the ledger are those before this step; the changes follow.
        recounted = self._recounted(state, changes)
        if recounted is not None:
            state = replace(state, bandit=recounted)
        learns = replaced or any(one.old != one.new for one in changes.credits)
        if recounted is not None or learns:
            with self._restored_if_it_fails():
                self._updates.learn(state.bandit, changes.credits)
                self._publish(state, now, changes)
            return True
        if any(changes):  # a click, say, or an outcome of no_action: no credit is another
            self._write(lambda connection: self._keep(connection, changes, None))
        return False

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
        self._publish(replace(state, base=base, bandit=recounted), now)
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
                self._publish(state, now)

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
            raise

    def _imported(self, base: str) -> BanditState | None:
        """The state that a base has learned from imported decisions; None if it cannot be read."""
        if base == PRIOR:
            return self._updates.blank()
        champion = self._champion
        if champion is None or champion[0] != base:
            champion = self._champion = self._read_champion()
        return champion[1].imported if champion is not None and champion[0] == base else None

    def _recounted(self, state: LearnerState, changes: _Changes) -> BanditState | None:
        """Count all credits again where enough decisions were shown since; None: not now."""
        encoded_at = self._reached(state.bandit.encoded_at, changes)
        if not encoded_at:
            return None
        imported = self._imported(state.base)
        if imported is None:
            log.warning("Bandit %s cannot be read; encoding goes on as before", state.base)
            shown = self._shown or encoded_at
            self._recount_from = shown + max(1, int(RETRY_GROWTH * shown))
            return None
        return self._updates.recounted(imported, encoded_at, self._delays, state.bandit)

    def _reached(self, encoded_at: int, changes: _Changes) -> int:
        """Return the threshold that the number of shown decisions has newly reached; 0 for none.

        They are counted only where the threshold may be reached: every shown decision comes up in
        a step, with a first credit or as one of another layout of features.
        """
        new = {one.action.shown.decision_id for one in changes.credits if one.is_first}
        self._shown_since += len(new) + len(changes.stopped)
        threshold = next_encoding(encoded_at)
        wanted = max(threshold, self._recount_from)
        if self._shown is not None and self._shown + self._shown_since < wanted:
            return 0
        self._shown, self._shown_since = self._updates.shown(), 0
        if self._shown < wanted:
            return 0
        while next_encoding(threshold) <= self._shown:
            threshold = next_encoding(threshold)
        return threshold

    def _restored(self) -> LearnerState:
        return read_learner_state(self._ledger, self._updates, self._params, self._delays)

    def _changes(self, connection: sa.Connection, now: datetime) -> _Changes:
        outcomes = unlearned_outcomes(connection)
        due = due_revisions(connection, now)
        # A decision that shares one of these outcomes may have lost its credit, or got it back.
        shared = sorted(sharing_decisions(connection, outcomes.values()))
        decided = (decision_id for decision_id, _ in due)
        ids = list(dict.fromkeys([*outcomes.values(), *decided, *shared]))
        credits = read_credit_changes(connection, ids, self._updates.layout, now, self._delays)
        read = {change.action.shown.key for change in credits}
        return _Changes(list(outcomes), credits, [key for key in due if key not in read])

    def _publish(self, state: LearnerState, now: datetime, changes: _Changes = _NOTHING) -> None:
        """Write a new state, its credits and its snapshot; use the state once it is on disk."""
        catalog = self.catalog
        # Made before the transaction, which holds the lock that every decision waits for.
        following = replace(state, revision=state.revision + 1, published_under=catalog.fingerprint)
        payload = state.bandit.to_bytes()
        packed = pack_model(state.bandit.model(catalog.priors, catalog.groups_of, exact=True))

        def write(connection: sa.Connection) -> None:
            write_learner_state(connection, following, payload)
            self._keep(connection, changes, publish(connection, state.base, packed, now))

        self._write(write)
        self._state = following

    def _keep(self, connection: sa.Connection, changes: _Changes, sequence: int | None) -> None:
        """Write credits as of a snapshot, and mark what was read."""
        write_credits(connection, changes.credits, sequence)
        mark_learned(connection, changes.outcome_ids)
        stop_revising(connection, changes.stopped)
        self._delays.keep_first_shown(connection)

    def _write(self, work: Callable[[sa.Connection], None]) -> None:
        """Write in one transaction, unless another learner has written since the state was read."""

        def write(connection: sa.Connection) -> None:
            if read_revision(connection) != self._current().revision:
                raise RevisionConflict("another learner has written to this ledger")
            work(connection)

        with self._restored_if_it_fails():
            self._ledger.write_now(write)
