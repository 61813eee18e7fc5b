"""Keeps the rows of rewards and of event values up to date, in small steps.

A step reads marks, new decisions and the next customers of a walk from one snapshot, and computes
their rows outside of the lock. One short transaction then writes the rows, deletes the marks and
moves the state on, unless another step was written since the snapshot. So a step that is cut off
by a crash changes nothing. Marks that came after the snapshot stay for the next step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ledger import tables
from features.ledger.derived_tables import CUSTOMER, DECISION, EVENTS
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement, as_json, select_in_batches, texts_of
from features.outcomes.attribution import sharing_decisions
from features.rewards.decision_rewards import (
    EVER,
    SERVED,
    compute_rewards,
    rules_fingerprint,
    with_other_days,
)
from features.rewards.event_days import (
    EVER_DAY,
    EventRules,
    packed_event_rows,
)
from features.rewards.met_customers import MetChanges, changes_of_met, two_arms
from features.rewards.pruned_events import read_pruned
from features.rewards.reward_rows import day_at, pack_days, span_of_day
from features.rewards.reward_state import (
    SumState,
    Walk,
    read_state,
    write_state,
)

STEP = 256  # marks and decisions of a step: some 10 milliseconds
WHOLE = 4  # marked customers of a step, each computed whole
EVENTS_EACH = 8  # so many events are read in the time of one decision
_ROWS = tables.reward_days.c
_STORED = Statement(
    sa.select(_ROWS.customer_id, _ROWS.days, _ROWS.window_ends, _ROWS.unknown_actions).where(
        _ROWS.customer_id.in_(sa.select(texts_of("customers").c.value))
    )
)
_UNMARK = sa.delete(tables.reward_marks).where(
    *(
        tables.reward_marks.c[name] == sa.bindparam(f"its_{name}")
        for name in ("kind", "key", "day", "number")
    )
)


class RewardRules(NamedTuple):
    """The rules by which rows are computed, and the fingerprint of those of rewards."""

    catalog: Catalog
    events: EventRules
    fingerprint: str

    @classmethod
    def of(cls, catalog: Catalog, domain: Domain) -> RewardRules:
        """Read the rules from the catalogue and the domain of today."""
        return cls(catalog, EventRules.of(domain), rules_fingerprint(catalog))


@dataclass
class _Step:
    """The content of a step: the state before and after it, and all that it writes.

    Attributes
    ----------
    zone
        The clock of the business.
    reward_days
        For each customer the days to compute; None: all days.
    event_days
        For each customer the first day to compute: of events, all days after it follow.
    decided_us
        For each customer the time of the earliest decision that is new.
    swept
        Customers of a walk: a table, the ids after and up to which, and those who have rows.
    """

    before: SumState
    after: SumState
    zone: tzinfo
    marks: Sequence[Any] = ()
    reward_days: dict[str, set[int] | None] = field(default_factory=dict)
    event_days: dict[str, int] = field(default_factory=dict)
    decided_us: dict[str, int] = field(default_factory=dict)
    swept: list[tuple[sa.Table, str, str | None, list[str]]] = field(default_factory=list)
    reward_rows: list[dict[str, Any]] = field(default_factory=list)
    event_rows: list[dict[str, Any]] = field(default_factory=list)
    met: MetChanges = field(default_factory=MetChanges)

    def add_days(self, rows: Iterable[Any]) -> None:
        """Add the days on which decisions were shown; rows have customer_id and activated_at."""
        for row in rows:
            days = self.reward_days.setdefault(row.customer_id, set())
            if days is not None:
                days.add(day_at(tables.micros(row.activated_at), self.zone))


def sum_rewards(ledger: Ledger, rules: RewardRules, size: int = STEP, lead: bool = True) -> bool:
    """Do one step.

    Parameters
    ----------
    size : int
        Marks and decisions of the step; a customer of a walk or a mark is computed whole.
    lead : bool
        Compute all rows again if they follow other rules. Without it such rows are left to the
        process that leads, and this one does nothing; but it begins where nothing was summed yet.

    Returns
    -------
    bool
        True if there was something to do, and so there may be more.
    """
    step = ledger.read(lambda connection: _computed(connection, rules, size, lead))
    if step is None:
        return False
    ledger.write_now(lambda connection: _write(connection, step))
    return True


def _computed(connection: sa.Connection, rules: RewardRules, size: int, lead: bool) -> _Step | None:
    before = read_state(connection)
    begun = before.begun(rules.fingerprint, rules.events.fingerprint)
    if begun != before and before.step and not lead:
        return None
    step = _Step(before, begun, rules.catalog.clock.of_business)
    _take_marks(connection, step, size)
    _take_decisions(connection, step, size - len(step.marks))
    # However much else there is to do, a walk goes on.
    _take_customers(connection, step, max(size // 4, 1) if step.reward_days else size)
    if step.after == before and not step.marks:
        return None
    _compute_reward_rows(connection, step, rules.catalog)
    number = step.before.step + 1
    pruned = read_pruned(connection, step.event_days)
    step.event_rows = packed_event_rows(connection, rules.events, step.event_days, pruned, number)
    whole = [name for name, days in step.reward_days.items() if days is None]
    step.met = changes_of_met(connection, step.decided_us, whole)
    return step


def _take_marks(connection: sa.Connection, step: _Step, size: int) -> None:
    """Take the first marks, with all decisions whose shares of a credit they may change."""
    marks = tables.reward_marks.c
    query = sa.select(tables.reward_marks).order_by(marks.kind, marks.key, marks.day)
    whole = connection.execute(query.where(marks.kind == CUSTOMER).limit(WHOLE)).all()
    # Customers are the first kind in the order of the key.
    others = connection.execute(query.where(marks.kind > CUSTOMER).limit(size)).all()
    step.marks = [*whole, *others]
    decision_ids = {mark.key for mark in step.marks if mark.kind == DECISION}
    if decision_ids:
        decision_ids |= sharing_decisions(connection, decision_ids)
        columns = tables.decisions.c
        shown = sa.select(columns.customer_id, columns.activated_at).where(*SERVED)
        step.add_days(select_in_batches(connection, shown, columns.decision_id, decision_ids))
    for mark in step.marks:
        if mark.kind == EVENTS:
            step.event_days[mark.key] = min(step.event_days.get(mark.key, mark.day), mark.day)
        elif mark.kind == CUSTOMER:
            step.reward_days[mark.key], step.event_days[mark.key] = None, EVER_DAY


def _take_decisions(connection: sa.Connection, step: _Step, size: int) -> None:
    """Take the next decisions that were made."""
    columns = tables.decisions.c
    query = sa.select(
        *(columns.serial, columns.customer_id, columns.activated_at, columns.served),
        *(columns.arm, sa.type_coerce(columns.decided_at, sa.BigInteger).label("decided_us")),
    )
    newer = query.where(columns.serial > step.after.serial).order_by(columns.serial)
    rows = connection.execute(newer.limit(max(size, 1))).all()
    if rows:
        step.add_days(row for row in rows if row.served)
        first, known = two_arms(connection), step.decided_us
        for row in rows:
            if row.arm is not None and row.serial > first:
                earlier = known.get(row.customer_id, row.decided_us)
                known[row.customer_id] = min(earlier, row.decided_us)
        step.after = replace(step.after, serial=rows[-1].serial)


def _take_customers(connection: sa.Connection, step: _Step, size: int) -> None:
    """Take the next customers of a walk; their rows are computed whole."""
    for name, sources, table, rows, all_days in (
        ("rewards", [tables.decisions], tables.reward_days, size, None),
        # All events of a customer may have been deleted, and their value is kept.
        (
            "events",
            [tables.events, tables.event_days],
            tables.event_days,
            size * EVENTS_EACH,
            EVER_DAY,
        ),
    ):
        walk: Walk = getattr(step.after, name)
        if walk.after is None:
            continue
        customer_ids = _next_customers(connection, sources, walk.after, rows)
        last = customer_ids[-1] if customer_ids else None
        step.swept.append((table, walk.after, last, customer_ids))
        days: dict[str, Any] = getattr(step, table.name)
        days.update(dict.fromkeys(customer_ids, all_days))
        after = replace(walk, after=last, first=walk.first and last is not None)
        if table is tables.reward_days:
            step.swept.append((tables.met_customers, walk.after, last, customer_ids))
        changed: dict[str, Any] = {name: after}
        step.after = replace(step.after, **changed)
        return


def _next_customers(
    connection: sa.Connection, sources: Sequence[sa.Table], after: str, size: int
) -> list[str]:
    """The next customers who have up to ``size`` rows in each table, at least one customer."""
    columns = [source.c.customer_id for source in sources]
    found = [
        connection.execute(sa.select(column).where(column > after).order_by(column).limit(size))
        .scalars()
        .all()
        for column in columns
    ]
    # A table with more rows has more customers after the last of these.
    last = min((some[-1] for some in found if len(some) == size), default=None)
    names = {name for some in found for name in some if last is None or name <= last}
    return sorted(names)


def _compute_reward_rows(connection: sa.Connection, step: _Step, catalog: Catalog) -> None:
    spans = {
        customer_id: [EVER]
        if days is None
        else [span_of_day(day, step.zone) for day in sorted(days)]
        for customer_id, days in step.reward_days.items()
    }
    some = [name for name, days in step.reward_days.items() if days is not None]
    stored = {row[0]: row[1:] for row in _STORED.rows(connection, {"customers": as_json(some)})}
    for customer_id, computed in compute_rewards(connection, catalog, spans).items():
        row = stored.get(customer_id)
        if row is not None:
            computed = with_other_days(computed, row, step.reward_days[customer_id] or set())
        packed, unknown = pack_days(computed.rows), sorted(computed.unknown_actions)
        step.reward_rows.append(
            {
                "customer_id": customer_id,
                "windows_differ_until": tables.from_micros(packed.differ_until_us),
                "days": packed.days,
                "window_ends": packed.window_ends,
                "unknown_actions": json.dumps(unknown) if unknown else None,
                "step": step.before.step + 1,
            }
        )


def _write(connection: sa.Connection, step: _Step) -> None:
    if not write_state(connection, step.before, step.after):
        return
    for table, after, last, customer_ids in step.swept:
        column = table.c.customer_id
        gone = sa.delete(table).where(column > after, column.not_in(customer_ids))
        connection.execute(gone if last is None else gone.where(column <= last))
    _replace(connection, tables.reward_days, step.reward_rows)
    _replace(connection, tables.event_days, step.event_rows)
    step.met.write(connection)
    if step.marks:
        values = [
            {f"its_{name}": value for name, value in mark._mapping.items()} for mark in step.marks
        ]
        connection.execute(_UNMARK, values)


def _replace(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows; delete those of customers without days."""
    kept = [row for row in rows if row["days"]]
    if kept:
        tables.upsert(connection, table, kept)
    gone = [row["customer_id"] for row in rows if not row["days"]]
    if gone:
        connection.execute(sa.delete(table).where(table.c.customer_id.in_(gone)))
