"""Off-policy evaluation: the engine repeats logged decisions with another policy or catalogue.

Each logged decision is repeated from its record with another setup. The probabilities of that
setup are compared with the logged ones and the rewards that followed (`off_policy`). Each
decision is evaluated by itself: earlier contacts are those of the log, not those that the other
policy would have made. Of several slots only the first is evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import NO_ACTION, Catalog
from features.business.catalog_rules import ControlGroup
from features.business.decided_actions import logged_chances
from features.customers.contacts import Contact
from features.errors import ModelMissing
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import micros
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import ShownAction, reward
from features.progress import Progress
from serving.audit.archive import Archive
from serving.audit.replay import inputs_from_record
from serving.decide.beliefs import read_beliefs
from serving.decide.choice import score, select
from serving.decide.decision_setup import DecisionSetup
from serving.decide.limit_inputs import account_contacts_of, contacts_of, limit_inputs_of
from serving.decide.step_results import LimitInputs, SelectedActions
from training.arrays import Floats

BATCH = 500  # decisions read at once
OPEN = "their outcomes may still come"
OTHER_LAYOUT = "the domain file has changed since"
NOT_SHOWN = "their first action was not shown in the end"
NOT_LOGGED = "their models or catalogue are gone"


@dataclass(frozen=True, slots=True)
class EvaluationTarget:
    """The catalogue and model versions to evaluate.

    Attributes
    ----------
    catalog : Catalog
    versions : by model
        They replace the logged versions; a model that is not named keeps its logged version.
    """

    catalog: Catalog
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReplayedLog:
    """Logged decisions, with the probabilities of the logging and of the evaluated policy.

    Attributes
    ----------
    actions : tuple of str
        Names of the columns; `no_action` is the last one.
    reward : shape (n,), in the domain's currency
        Credited reward of the first action, less its cost.
    action : shape (n,)
        Column of the action that was shown.
    logged, evaluated : shape (n, n_actions)
        Probability of each action in the first slot, under the logging and the evaluated policy.
    contexts : shape (n, n_contexts)
        Model input, and a 0/1 column for each channel.
    customers : n texts
    left_out : number of decisions that cannot be evaluated, by reason
    """

    actions: tuple[str, ...]
    reward: Floats
    action: np.ndarray[Any, np.dtype[np.intp]]
    logged: Floats
    evaluated: Floats
    contexts: Floats
    customers: tuple[str, ...]
    left_out: Mapping[str, int]


class _RepeatedDecision(NamedTuple):
    """A decision of the ledger, and the selection of the evaluated policy."""

    row: Any
    record: Mapping[str, Any]
    selected: SelectedActions
    reward: float


class Evaluation:
    """Repeats logged decisions with another catalogue or other models.

    Parameters
    ----------
    catalog
        The catalogue that serves now; rewards are counted under it.
    """

    def __init__(
        self, ledger: Ledger, archive: Archive, catalog: Catalog, channels: Sequence[str]
    ) -> None:
        self._ledger = ledger
        self._archive = archive
        self._catalog = catalog
        self._channels = tuple(channels)
        self._left_out: Counter[str] = Counter()

    def run(
        self,
        target: EvaluationTarget,
        now: datetime,
        since: datetime,
        until: datetime | None,
        limit: int | None,
        report: Progress,
    ) -> ReplayedLog:
        """Repeat the decisions of a period whose attribution windows are closed, newest first."""
        self._left_out = Counter()
        # Without a control group, because the policy is evaluated.
        policy = target.catalog.model_copy(update={"control_group": ControlGroup(share=0)})
        names = self._decision_ids(now, since, until, limit)
        repeated: list[_RepeatedDecision] = []
        for start in range(0, len(names), BATCH):
            repeated += self._repeated(names[start : start + BATCH], target, policy)
            report("decide again", min(start + BATCH, len(names)), len(names))
        return self._replayed_log(repeated, policy)

    def _decision_ids(
        self, now: datetime, since: datetime, until: datetime | None, limit: int | None
    ) -> list[str]:
        columns = tables.decisions.c
        conditions: list[Any] = [columns.served.is_not(sa.false()), columns.answer.is_not(None)]
        conditions += [columns.decided_at >= since]
        conditions += [] if until is None else [columns.decided_at < until]
        closed = columns.window_ends_at <= now
        query = sa.select(columns.decision_id).where(*conditions, closed)
        query = query.order_by(columns.decided_at.desc(), columns.decision_id).limit(limit)
        open_windows = (
            sa.select(sa.func.count()).select_from(tables.decisions).where(*conditions, ~closed)
        )

        def read(connection: sa.Connection) -> tuple[list[str], int]:
            names = list(connection.execute(query).scalars())
            return names, connection.execute(open_windows).scalar_one()

        names, waiting = self._ledger.read(read)
        self._left_out[OPEN] += waiting
        return names

    def _repeated(
        self, names: Sequence[str], target: EvaluationTarget, policy: Catalog
    ) -> Iterator[_RepeatedDecision]:
        columns = tables.decisions.c
        read = (
            columns.subject,
            columns.features,
            columns.answer,
            columns.customer_id,
            columns.channel,
            columns.believed,
        )
        query = sa.select(*DECISION_COLUMNS, *read).where(
            columns.decision_id.in_(names), columns.answer.is_not(None)
        )
        found = self._ledger.read(lambda c: {row.decision_id: row for row in c.execute(query)})
        rows = [found[name] for name in names if name in found]
        usable = [(row, record) for row in rows if (record := self._usable(row)) is not None]
        rewards = self._rewards([first for row, _ in usable if (first := _first(row)) is not None])
        for row, record in usable:
            selected = self._repeat(row, record, target, policy)
            if selected is not None:
                yield _RepeatedDecision(row, record, selected, rewards.get(row.decision_id, 0.0))

    def _usable(self, row: Any) -> Mapping[str, Any] | None:
        record: Mapping[str, Any] = from_json(row.record)
        if record["features_layout"] != self._archive.fingerprint:
            self._left_out[OTHER_LAYOUT] += 1
            return None
        if row.action_id != NO_ACTION and _first(row) is None:
            self._left_out[NOT_SHOWN] += 1
            return None
        return record

    def _rewards(self, shown: Sequence[ShownAction]) -> dict[str, float]:
        """Reward of each decision's first action less its cost, by decision id."""
        found = self._ledger.read(lambda c: read_attribution(c, shown, self._catalog))
        return {
            one.shown.decision_id: reward(one, found.shares, self._catalog) for one in found.actions
        }

    def _repeat(
        self, row: Any, record: Mapping[str, Any], target: EvaluationTarget, policy: Catalog
    ) -> SelectedActions | None:
        answer = from_json(row.answer)
        try:
            setup = self._archive.setup(policy, {**answer["models"], **target.versions})
        except ModelMissing:
            self._left_out[NOT_LOGGED] += 1
            return None
        inputs = inputs_from_record(row, record, answer, explain=False)
        locked = self._locked(setup, row, record, inputs.customer_id)
        logged = not target.versions and policy.fingerprint == record["catalog"]
        believed = read_beliefs(row.believed, record, setup.compiled) if logged else None
        return select(setup, inputs, score(setup, inputs, believed), locked)

    def _locked(
        self, setup: DecisionSetup, row: Any, record: Mapping[str, Any], customer_id: str
    ) -> LimitInputs:
        """Take the locked inputs from the record.

        Where the other contact policy looks further back than the logged one, contacts are read
        from the ledger.
        """
        locked, at = limit_inputs_of(record, customer_id), row.decided_at
        days, reaction_days = self._archive.looks_back_days(record["catalog"])
        policy = setup.contact_policy
        known = policy.days <= days and policy.reaction_days <= reaction_days
        if known and _counted(setup, locked, row.channel):
            return locked
        contacts, account = self._ledger.read(
            lambda c: (
                contacts_of(c, setup, customer_id, at),
                account_contacts_of(c, setup, customer_id, row.channel, at, before=at),
            )
        )
        if account is not None:
            account = account._replace(showings=_until(account.showings, micros(at)))
        return replace(locked, contacts=_until(contacts, micros(at)), account=account)

    def _replayed_log(self, repeated: Sequence[_RepeatedDecision], policy: Catalog) -> ReplayedLog:
        actions_of = self._archive.actions
        chances = [
            logged_chances(one.row, one.record, actions_of(one.record["catalog"]))
            for one in repeated
        ]
        logged_names = {name for one in chances for name in one}
        known = {*policy.actions, *logged_names, *(one.row.action_id for one in repeated)}
        actions = (*sorted(known - {NO_ACTION}), NO_ACTION)
        column = {name: index for index, name in enumerate(actions)}
        logged, evaluated = np.zeros((2, len(repeated), len(actions)))
        names = (*policy.actions, NO_ACTION)
        for number, one in enumerate(repeated):
            logged[number, [column[name] for name in chances[number]]] = [*chances[number].values()]
            held = [column[names[index]] for index in one.selected.candidates]
            evaluated[number, held] = one.selected.probabilities
        channels = [[one.row.channel == name for name in self._channels] for one in repeated]
        rows = [np.frombuffer(one.row.features) for one in repeated]
        return ReplayedLog(
            actions=actions,
            reward=np.array([one.reward for one in repeated], dtype=np.float64),
            action=np.array([column[one.row.action_id] for one in repeated], dtype=np.intp),
            logged=logged,
            evaluated=evaluated,
            contexts=np.column_stack([rows, channels]) if repeated else np.empty((0, 0)),
            customers=tuple(one.row.customer_id for one in repeated),
            left_out={why: count for why, count in self._left_out.items() if count},
        )


def _counted(setup: DecisionSetup, logged: LimitInputs, channel: str) -> bool:
    """Return whether the record holds what a contact policy needs of the customer's account."""
    if logged.account is None:  # there was no account, or the logged policy had no such rule
        return not setup.contact_policy.per_account
    counts, window = setup.contact_policy.of_account(channel)
    known = all(one.key in logged.account.counts for one in counts)
    return known and (window is None or window.key == logged.account.showings_of)


def _until(contacts: Sequence[Contact], at_us: int) -> list[Contact]:
    """Take contacts and their outcomes before a time, in microseconds since 1970."""
    return [
        one._replace(
            outcomes_at={name: when for name, when in one.outcomes_at.items() if when < at_us}
        )
        for one in contacts
        if one.shown_us < at_us
    ]


def _first(row: Any) -> ShownAction | None:
    """The shown action of the first slot; None if that action was not shown."""
    return next((one for one in shown_by(row) if one.action_id == row.action_id), None)
