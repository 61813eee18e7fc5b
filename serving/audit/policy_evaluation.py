"""What another policy, or another catalogue, would have earned: the real engine run over the log.

Each logged decision is made again from its record, at another desk. What that desk would have
chosen first, and with which chances, is weighed against what followed (`off_policy`).
Judged is one step: what customers had been shown before is what the log says, not what the other
policy would have shown them. Of several slots the first is judged.
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
from features.errors import ModelMissing
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.tables import micros
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import ShownAction, reward
from features.progress import Progress
from serving.audit.archive import Archive
from serving.audit.replay import inputs_from_record
from serving.decide.choice import score, select
from serving.decide.decision_record import contacts_of, locked_again
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import LockedInputs, SelectedActions
from training.arrays import Floats

BATCH = 500  # decisions read at once
OPEN = "their outcomes may still come"
OTHER_LAYOUT = "the domain file has changed since"
NOT_SHOWN = "their first action was not shown in the end"
NOT_LOGGED = "their models or catalogue are gone"


@dataclass(frozen=True, slots=True)
class EvaluationTarget:
    """What is judged.

    Attributes
    ----------
    catalog : Catalog
    versions : by model
        In place of those that a decision was made with; the others stay as they were.
    """

    catalog: Catalog
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReplayedLog:
    """Logged decisions and how the wanted policy would have made them.

    Attributes
    ----------
    actions : tuple of str
        Of the columns; `no_action` is the last one.
    reward : shape (n,), in the domain's currency
        What followed the first action, less its cost.
    action : shape (n,)
        Column of the action that was shown.
    logged, wanted : shape (n, n_actions)
        Chances of each action in the first slot: when it was decided, and as it would be now.
    contexts : shape (n, n_contexts)
        What the models read, and a 0/1 for each channel.
    customers : n texts
    left_out : by reason, how many decisions are not judged
    """

    actions: tuple[str, ...]
    reward: Floats
    action: np.ndarray[Any, np.dtype[np.intp]]
    logged: Floats
    wanted: Floats
    contexts: Floats
    customers: tuple[str, ...]
    left_out: Mapping[str, int]


class _Judged(NamedTuple):
    row: Any
    record: Mapping[str, Any]
    selected: SelectedActions
    reward: float


class Evaluation:
    """Runs the engine over the log.

    Parameters
    ----------
    catalog
        The one that serves now: by it, rewards are counted, whatever is judged.
    """

    def __init__(
        self, ledger: Ledger, archive: Archive, catalog: Catalog, channels: Sequence[str],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._archive = archive
        self._catalog = catalog
        self._channels = tuple(channels)
        self._left_out: Counter[str] = Counter()

    def run(
        self,
        wanted: EvaluationTarget,
        now: datetime,
        since: datetime,
        until: datetime | None,
        limit: int | None,
        report: Progress,
    ) -> ReplayedLog:
        """Decide again all decisions of a period whose windows have closed, the newest first."""
        self._left_out = Counter()
        # Everybody is decided for by the policy: the control group is not what is judged.
        policy = wanted.catalog.model_copy(update={"control_group": ControlGroup(share=0)})
        names = self._names(now, since, until, limit)
        judged: list[_Judged] = []
        for start in range(0, len(names), BATCH):
            judged += self._judged(names[start : start + BATCH], wanted, policy)
            report("decide again", min(start + BATCH, len(names)), len(names))
        return self._trial(judged, policy)

    def _names(
        self, now: datetime, since: datetime, until: datetime | None, limit: int | None
    ) -> list[str]:
        columns = tables.decisions.c
        ours: list[Any] = [columns.served.is_not(sa.false()), columns.answer.is_not(None)]
        ours += [columns.decided_at >= since]
        ours += [] if until is None else [columns.decided_at < until]
        closed = columns.window_ends_at <= now
        query = sa.select(columns.decision_id).where(*ours, closed)
        query = query.order_by(columns.decided_at.desc(), columns.decision_id).limit(limit)
        still = sa.select(sa.func.count()).select_from(tables.decisions).where(*ours, ~closed)

        def read(connection: sa.Connection) -> tuple[list[str], int]:
            names = list(connection.execute(query).scalars())
            return names, connection.execute(still).scalar_one()

        names, waiting = self._ledger.read(read)
        self._left_out[OPEN] += waiting
        return names

    def _judged(
        self, names: Sequence[str], wanted: EvaluationTarget, policy: Catalog
    ) -> Iterator[_Judged]:
        columns = tables.decisions.c
        read = (columns.features, columns.answer, columns.customer_id, columns.channel)
        query = sa.select(*DECISION_COLUMNS, *read).where(columns.decision_id.in_(names))
        found = self._ledger.read(lambda c: {row.decision_id: row for row in c.execute(query)})
        rows = [found[name] for name in names if name in found]
        usable = [(row, record) for row in rows if (record := self._usable(row)) is not None]
        earned = self._earned([first for row, _ in usable if (first := _first(row)) is not None])
        for row, record in usable:
            selected = self._again(row, record, wanted, policy)
            if selected is not None:
                yield _Judged(row, record, selected, earned.get(row.decision_id, 0.0))

    def _usable(self, row: Any) -> Mapping[str, Any] | None:
        record: Mapping[str, Any] = from_json(row.record)
        if record["features_layout"] != self._archive.fingerprint:
            self._left_out[OTHER_LAYOUT] += 1
            return None
        if row.action_id != NO_ACTION and _first(row) is None:
            self._left_out[NOT_SHOWN] += 1
            return None
        return record

    def _earned(self, shown: Sequence[ShownAction]) -> dict[str, float]:
        """What each decision's first action brought, less its cost."""
        found = self._ledger.read(lambda c: read_attribution(c, shown, self._catalog))
        return {
            one.shown.decision_id: reward(one, found.shares, self._catalog) for one in found.actions
        }

    def _again(
        self, row: Any, record: Mapping[str, Any], wanted: EvaluationTarget, policy: Catalog
    ) -> SelectedActions | None:
        answer = from_json(row.answer)
        try:
            setup = self._archive.setup(policy, {**answer["models"], **wanted.versions})
        except ModelMissing:
            self._left_out[NOT_LOGGED] += 1
            return None
        inputs = inputs_from_record(row, record, answer, explain=False)
        locked = self._locked(setup, row, record, inputs.customer_id)
        return select(setup, inputs, score(setup, inputs), locked)

    def _locked(
        self, setup: DecisionSetup, row: Any, record: Mapping[str, Any], customer_id: str
    ) -> LockedInputs:
        """Take the locked inputs from the record.

        Where the other contact policy looks further back than the logged one, contacts are read
        from the ledger.
        """
        locked = locked_again(record, customer_id)
        if setup.contact_policy.days <= self._archive.looks_back_days(record["catalog"]):
            return locked
        at = micros(row.decided_at)
        found = self._ledger.read(lambda c: contacts_of(c, setup, customer_id, row.decided_at))
        contacts = [
            one._replace(
                outcomes_at={name: when for name, when in one.outcomes_at.items() if when < at}
            )
            for one in found
            if one.shown_us < at
        ]
        return replace(locked, contacts=contacts)

    def _trial(self, judged: Sequence[_Judged], policy: Catalog) -> ReplayedLog:
        logged_names = {name for one in judged for name in one.record["candidates"]}
        known = {*policy.actions, *logged_names, *(one.row.action_id for one in judged)}
        actions = (*sorted(known - {NO_ACTION}), NO_ACTION)
        column = {name: index for index, name in enumerate(actions)}
        logged, wanted = np.zeros((2, len(judged), len(actions)))
        names = (*policy.actions, NO_ACTION)
        for number, one in enumerate(judged):
            held = [column[name] for name in one.record["candidates"]]
            logged[number, held] = one.record["probabilities"]
            held = [column[names[index]] for index in one.selected.candidates]
            wanted[number, held] = one.selected.probabilities
        channels = [[one.row.channel == name for name in self._channels] for one in judged]
        rows = [np.frombuffer(one.row.features) for one in judged]
        return ReplayedLog(
            actions=actions,
            reward=np.array([one.reward for one in judged], dtype=np.float64),
            action=np.array([column[one.row.action_id] for one in judged], dtype=np.intp),
            logged=logged,
            wanted=wanted,
            contexts=np.column_stack([rows, channels]) if judged else np.empty((0, 0)),
            customers=tuple(one.row.customer_id for one in judged),
            left_out={why: count for why, count in self._left_out.items() if count},
        )


def _first(row: Any) -> ShownAction | None:
    """The action of the first slot as it was shown, or None: nothing was, or not this."""
    return next((one for one in shown_by(row) if one.action_id == row.action_id), None)
