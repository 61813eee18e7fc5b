"""Updates the bandit's state with credits: adds new ones, takes old ones back, recounts all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.credit_rules import Credit
from features.outcomes.delay_epochs import ResponseDelays
from features.outcomes.logged_actions import LoggedAction, read_logged_actions
from serving.learn.credits import (
    BATCH,
    CreditChange,
    Key,
    ReadActions,
    WrittenCredit,
    count_shown_decisions,
    credited_decisions,
    current_credits,
    first_shown_decisions,
    newest_shown_decisions,
    read_credits,
    shown_decisions,
    told_rewards,
)
from serving.learn.memory import memory_scale
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.bandit.trees import BoostedTrees
from training.params import BanditParams

ENCODED_ON = 20_000  # shown decisions, at most, that the encoder is fitted on


class FittedTrees(NamedTuple):
    """Boosted trees, and the state that they were fitted for.

    Attributes
    ----------
    trees : BoostedTrees or None
        None: the rewards did not differ.
    counted : float
        `BanditState.counted` then.
    features : tuple of str
        Those of the state's encoder.
    """

    trees: BoostedTrees | None
    counted: float
    features: tuple[str, ...]


class AsOf(NamedTuple):
    """A time in the past, and the delays by which silences counted then."""

    at: datetime
    delays: ResponseDelays


class BanditUpdates:
    """Updates a `BanditState` with the credits of a ledger; changes no credit.

    Parameters
    ----------
    as_of
        Credits are computed as a learner would have counted them that stopped at this time: with
        what was shown and received before. None: the credits that the learner has written.
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        params: BanditParams,
        as_of: AsOf | None = None,
        read: ReadActions = read_logged_actions,
    ) -> None:
        self._as_of, self._before = as_of, None if as_of is None else as_of.at
        self._ledger, self._read = ledger, read
        self._domain, self._params, self._input = domain, params, ModelInput(domain)
        self._index = {name: number for number, name in enumerate(self._input.names)}

    @property
    def layout(self) -> str:
        """Fingerprint of the features' names and order."""
        return self._input.fingerprint

    def blank(self) -> BanditState:
        """The state before the first outcome."""
        return BanditState(Encoder.blank(), self._params)

    def fits(self, state: BanditState) -> bool:
        """True if the domain has every feature that the state's encoder reads."""
        return set(state.encoder.features) <= set(self._input.names)

    def learn(self, state: BanditState, changes: Sequence[CreditChange]) -> OutcomeBatch:
        """Take the old credits back and add the new ones; return the outcomes that were learned.

        Where only the count differs, as of a silence that grew older, it is one outcome with the
        difference of the counts.
        """
        counted = []
        for action, old, new, *_ in changes:
            if old and new and old.acceptance == new.acceptance:
                if old.count != new.count:
                    counted.append((action, Credit(new.acceptance, new.count - old.count)))
            elif old != new:
                if old:
                    counted.append((action, Credit(old.acceptance, -old.count)))
                if new:
                    counted.append((action, new))
        outcomes = self._outcomes(counted, state.encoder)
        state.learn(outcomes)
        return outcomes

    def shown(self) -> int:
        """Count the decisions that showed an action."""
        return self._ledger.read(lambda c: count_shown_decisions(c, self._before))

    def recounted(
        self,
        imported: BanditState,
        shown: int,
        delays: ResponseDelays,
        counted: BanditState | None = None,
    ) -> BanditState:
        """Count all credits of the ledger on top of what was learned from imported decisions.

        Where nothing was imported, the encoder is fitted on the first ``shown`` decisions that
        showed an action, or on the newest of those where they are many. If there are too many
        features for its width, it also reads what was known of the outcomes when the last of these
        decisions was made. So the state depends on the ledger alone, and not on when a learner came
        to it.

        Parameters
        ----------
        imported
            It is not changed.
        shown : int
            A number of shown decisions; 0: before the first ones.
        counted
            An earlier state of the same ledger, for its trees.
        """
        state = self.begun(imported, shown, delays)
        encoder = state.encoder
        for credited in self._all_credited():
            state.learn(self._outcomes(credited, encoder))
        if counted is not None and counted.encoder.features == encoder.features:
            state.use_trees(counted.trees, counted.fitted_on)
        return state

    def begun(self, imported: BanditState, shown: int, delays: ResponseDelays) -> BanditState:
        """Make the state with which `recounted` begins, before the first credit is counted."""
        encoder = imported.encoder
        scale = 1.0
        if shown:
            scale = self._ledger.read(
                lambda c: memory_scale(c, self._params, shown, delays, self._before)
            )
            if not imported.counted:
                encoder = self._encoder(shown, delays)
        state = BanditState(encoder, self._params, scale)
        state.encoded_at = shown
        if imported.counted:
            state.begin_with(imported)
        return state

    def last_decision(self) -> str:
        """Read the last id of the decisions that showed an action; "" if there is none."""
        query = sa.select(sa.func.max(tables.credits.c.decision_id))
        return self._ledger.read(lambda connection: connection.execute(query).scalar()) or ""

    def next_credits(self, after: str, until: str, most: int) -> Mapping[Key, WrittenCredit]:
        """Read the credits of the next decisions that have one, by id; see `credited_decisions`."""

        def read(connection: sa.Connection) -> Mapping[Key, WrittenCredit]:
            ids = [one for one in credited_decisions(connection, after, most) if one <= until]
            return read_credits(connection, ids)

        return self._ledger.read(read)

    def outcomes_of(self, written: Mapping[Key, WrittenCredit], state: BanditState) -> OutcomeBatch:
        """Arrange some credits as `BanditState.learn` reads them."""
        logged = self._logged(sorted({decision_id for decision_id, _ in written}))
        return self._outcomes(_counted(logged, written), state.encoder)

    def fit_trees(self, state: BanditState) -> FittedTrees:
        """Fit trees to the newest shown decisions; takes seconds.

        Not to the newest reported outcomes: most of those are acceptances. The silences among the
        decisions weigh as much as they count. Where acceptances come late, the trees read as many
        decisions of a longer time, as the short memory does; all, if there are no more.
        """
        counted, encoder, newest = state.counted, state.encoder, self._params.trees.newest
        every = max(1, min(int(state.memory_scale), self.shown() // newest))
        ids = self._ledger.read(lambda c: newest_shown_decisions(c, newest, every, self._before))
        credited = [
            one
            for start in range(0, len(ids), BATCH)
            for one in self._credited(ids[start : start + BATCH])
        ]
        outcomes = self._outcomes(credited, encoder)
        trees = BoostedTrees.fit(
            outcomes.rows, outcomes.channels, outcomes.actions, outcomes.acceptance, outcomes.count
        )
        return FittedTrees(trees, counted, encoder.features)

    def _encoder(self, shown: int, delays: ResponseDelays) -> Encoder:
        """Fit the encoder on the shown decisions up to a threshold."""
        begin = max(0, shown - ENCODED_ON)
        ids = self._ledger.read(
            lambda c: first_shown_decisions(c, begin, shown - begin, self._before)
        )
        logged = [
            action
            for start in range(0, len(ids), BATCH)
            for action in self._logged(ids[start : start + BATCH])
        ]
        if not logged:  # all of another layout of features
            return Encoder.blank()
        names, channels = self._input.names, self._domain.channels
        rows, on = np.array([one.row for one in logged]), [one.channel for one in logged]
        told = partial(told_rewards, self._ledger, logged, delays)
        return Encoder.fit(rows, names, channels, self._params.width, on=on, told=told)

    def _logged(self, decision_ids: Sequence[str]) -> list[LoggedAction]:
        return self._ledger.read(
            lambda connection: self._read(connection, decision_ids, self.layout)
        )

    def _all_credited(self) -> Iterator[list[tuple[LoggedAction, Credit]]]:
        """All actions that have a credit, those of some decisions at a time."""
        last = ""
        while ids := self._ledger.read(partial(self._credited_decisions, after=last)):
            yield self._credited(ids)
            last = ids[-1]

    def _credited_decisions(self, connection: sa.Connection, after: str) -> list[str]:
        """The next decisions by id."""
        if self._as_of is None:
            return credited_decisions(connection, after)
        column = tables.decisions.c.decision_id
        query = shown_decisions(column, self._before).where(column > after)
        return list(connection.execute(query.order_by(column).limit(BATCH)).scalars())

    def _credited(self, decision_ids: Sequence[str]) -> list[tuple[LoggedAction, Credit]]:
        """The shown actions of some decisions that have a credit, each with it."""

        def read(connection: sa.Connection) -> list[tuple[LoggedAction, Credit]]:
            actions = self._read(connection, decision_ids, self.layout)
            if self._as_of is not None:
                at, delays = self._as_of
                then = current_credits(connection, actions, at, delays, received_before=at)
                pairs = zip(actions, then, strict=True)
                return [(action, credit) for action, (credit, _) in pairs if credit]
            return _counted(actions, read_credits(connection, decision_ids))

        return self._ledger.read(read)

    def _outcomes(
        self, counted: Sequence[tuple[LoggedAction, Credit]], encoder: Encoder
    ) -> OutcomeBatch:
        """Arrange actions, each with its credit, as `BanditState.learn` reads them."""
        columns = [self._index[name] for name in encoder.features]
        n_experts = len(self._params.linear_experts) + 1
        unknown = [np.nan] * n_experts  # also for a decision that was made with other experts
        predictions = [
            action.expert_predictions if len(action.expert_predictions) == n_experts else unknown
            for action, _ in counted
        ]
        rows = np.array([action.row for action, _ in counted])
        return OutcomeBatch(
            rows=rows[:, columns] if counted else np.empty((0, len(columns))),
            channels=[action.channel for action, _ in counted],
            actions=[action.shown.action_id for action, _ in counted],
            acceptance=np.array([credit.acceptance for _, credit in counted], dtype=np.float64),
            count=np.array([credit.count for _, credit in counted], dtype=np.float64),
            at=np.array([action.serial for action, _ in counted], dtype=np.float64),
            expert_predictions=np.array(predictions, dtype=np.float64).reshape(-1, n_experts),
        )


def _counted(
    actions: Iterable[LoggedAction], written: Mapping[Key, WrittenCredit]
) -> list[tuple[LoggedAction, Credit]]:
    """The actions that have a credit, each with it."""
    return [
        (action, found.credit)
        for action in actions
        if (found := written.get(action.shown.key)) and found.credit
    ]
