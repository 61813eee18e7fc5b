"""Stores the progress of the sums of rewards and event values, in the transaction of the rows.

A *walk* computes the rows of all customers again, in the order of their ids: the first time, and
when values, costs or definitions have changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from features.ledger import tables
from features.ledger.derived_tables import (
    CUSTOMER,
    DECISION,
    EVENTS,
    mark_customers,
    mark_decisions,
)
from features.ledger.statements import among, select_in_batches
from features.outcomes.attribution import sharing_decisions

STATE = "rewards summed"  # key of `meta`


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through all customers.

    Attributes
    ----------
    rules : str
        Fingerprint of the rules by which rows are computed.
    after : str or None
        The last customer that was walked; None: the walk is done.
    first : bool
        There were no rows before this walk.
    """

    rules: str = ""
    after: str | None = ""
    first: bool = True


@dataclass(frozen=True, slots=True)
class SumState:
    """The progress of the sums.

    Attributes
    ----------
    step : int
        The number of steps so far. A step that was computed from an older state is not written.
    serial : int
        Decisions up to this one are summed, or will be by a walk.
    """

    step: int
    serial: int
    rewards: Walk
    events: Walk

    def begun(self, rewards: str, events: str) -> SumState:
        """Begin walks if the fingerprints of the rules are others than those of the rows."""
        return replace(
            self, rewards=_begun(self.rewards, rewards), events=_begun(self.events, events)
        )


def read_state(connection: sa.Connection) -> SumState:
    """Read the state; of a ledger that was never summed, everything is left to the first walks."""
    stored = tables.get_meta(connection, STATE)
    if stored is None:
        return SumState(0, newest_serial(connection), Walk(), Walk())
    content = json.loads(stored)
    walks = Walk(**content["rewards"]), Walk(**content["events"])
    return SumState(content["step"], content["serial"], *walks)


def write_state(connection: sa.Connection, before: SumState, after: SumState) -> bool:
    """Write the next state; False if another process has written one since ``before`` was read."""
    stored = tables.get_meta(connection, STATE)
    if (json.loads(stored)["step"] if stored else 0) != before.step:
        return False
    content = asdict(replace(after, step=before.step + 1))
    tables.set_meta(connection, STATE, json.dumps(content))
    return True


def newest_serial(connection: sa.Connection) -> int:
    """The number of the newest decision; 0 if there is none."""
    newest = connection.execute(sa.select(sa.func.max(tables.decisions.c.serial))).scalar()
    return int(newest or 0)


def forget_rewards(
    connection: sa.Connection, customer_ids: Sequence[str], decision_ids: Sequence[str]
) -> None:
    """Delete the rows of customers who are erased, in the transaction that deletes decisions.

    It is called before the decisions are deleted, and once more after the last ones. A step that
    is being computed is not written.

    Parameters
    ----------
    customer_ids
        Those who are erased, by all their keys.
    decision_ids
        The decisions that are deleted. Others that share an outcome with them get a larger share
        of its credit, and another customer may hold some of them: these are marked.
    """
    sharing = sharing_decisions(connection, decision_ids) - {*decision_ids}
    mark_decisions(connection, sorted(sharing))
    decided = tables.decisions.c
    query = sa.select(decided.customer_id).distinct()
    held = select_in_batches(connection, query, decided.decision_id, decision_ids)
    mark_customers(connection, sorted({row.customer_id for row in held} - {*customer_ids}))
    for table in (tables.reward_days, tables.event_days, tables.met_customers):
        connection.execute(sa.delete(table).where(among(table.c.customer_id, customer_ids)))
    marks = tables.reward_marks.c
    whose = marks.kind.in_((CUSTOMER, EVENTS)) & among(marks.key, customer_ids)
    theirs = (marks.kind == DECISION) & marks.key.in_(decision_ids)
    connection.execute(sa.delete(tables.reward_marks).where(whose | theirs))
    state = read_state(connection)
    kept = sa.select(decided.serial).where(decided.decision_id.not_in(decision_ids))
    newest = connection.execute(kept.order_by(decided.serial.desc()).limit(1)).scalar()
    after = replace(
        state,
        serial=min(state.serial, newest or 0),
        rewards=_without(connection, state.rewards, customer_ids),
        events=_without(connection, state.events, customer_ids),
    )
    write_state(connection, state, after)


def _without(connection: sa.Connection, walk: Walk, customer_ids: Sequence[str]) -> Walk:
    """Let a walk that is at one of some customers be at the one before, whose name may stay."""
    if walk.after not in customer_ids:
        return walk
    columns = [table.c.customer_id for table in (tables.decisions, tables.events)]
    before = [
        connection.execute(
            sa.select(sa.func.max(column)).where(column < walk.after, ~among(column, customer_ids))
        ).scalar()
        for column in columns
    ]
    return replace(walk, after=max((one for one in before if one), default=""))


def _begun(walk: Walk, rules: str) -> Walk:
    if walk.rules == rules:
        return walk
    # A first walk that did not end leaves customers without rows.
    return Walk(rules, "", walk.first and walk.after is not None)
