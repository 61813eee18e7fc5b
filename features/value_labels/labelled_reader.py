"""Reads labelled decisions from the ledger, some thousand at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features.business.decided_actions import Beliefs, logged_chances, read_windows
from features.ledger import tables
from features.ledger.columns import unpacked_float_rows, unpacked_json
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement, as_json, texts_of
from features.rewards.decision_rewards import DAY_US
from features.rewards.reward_state import read_state
from features.value_labels.follow_up import follow, margin_before, read_days
from features.value_labels.label_rules import LabelRules, LoggedCatalogs
from features.value_labels.labelled_decisions import LabelledDecisions
from features.value_labels.later_features import with_changes

BATCH = 4_000  # decisions read in one transaction: some 0.3 seconds

_DECIDED, _LATER = tables.decisions.c, tables.later_features.c
# Not simply "served": with that the database would use the index on windows, and read all rows.
_COUNTS = (
    _DECIDED.served.is_not(sa.false()),
    _DECIDED.arm.is_not(None),
    _DECIDED.features.is_not(None),
    _DECIDED.record.is_not(None),
)
_AFTER, _LIMIT = sa.bindparam("after", type_=sa.BigInteger), sa.bindparam("limit", type_=sa.Integer)


class _Logged(NamedTuple):
    """The columns of a decision that are read here, in the order of `_READ`."""

    serial: int
    decision_id: str
    customer_id: str
    shown_us: int
    channel: str
    action_id: str
    arm: str
    features: Any  # compressed
    record: Any
    believed: bytes | None
    looked_us: int | None
    has_left: bool | None
    changes: bytes | None
    layout: str | None

    def without_look(self) -> _Logged:
        """Leave out the look at other features than those of today."""
        return self._replace(looked_us=None, has_left=None, changes=None)


_READ = Statement(
    sa.select(
        *(_DECIDED[name] for name in ("serial", "decision_id", "customer_id")),
        sa.type_coerce(_DECIDED.activated_at, sa.BigInteger),
        *(_DECIDED[name] for name in ("channel", "action_id", "arm")),
        *(_DECIDED[name] for name in ("features", "record", "believed")),
        sa.type_coerce(_LATER.looked_at, sa.BigInteger),
        *(_LATER.has_left, _LATER.changes, _LATER.layout),
    )
    .join_from(
        tables.decisions, tables.later_features, _LATER.serial == _DECIDED.serial, isouter=True
    )
    .where(_DECIDED.serial > _AFTER, *_COUNTS)
    .order_by(_DECIDED.serial)
    .limit(_LIMIT)
)
_NEWEST = Statement(
    sa.select(_DECIDED.serial)
    .where(*_COUNTS)
    .order_by(_DECIDED.serial.desc())
    .limit(1)
    .offset(sa.bindparam("newest", type_=sa.Integer))
)
_CREDITED = Statement(
    sa.select(
        *(tables.credits.c[name] for name in ("decision_id", "action_id", "acceptance"))
    ).where(tables.credits.c.decision_id.in_(sa.select(texts_of("ids").c.value)))
)


def stream_labelled(
    ledger: Ledger,
    rules: LabelRules,
    now: datetime,
    newest: int | None = None,
    size: int = BATCH,
) -> Iterator[LabelledDecisions]:
    """Yield the labelled decisions of a ledger in batches, in the order in which they were made.

    Decisions that were not shown, imported ones, those whose features retention has removed and
    those with features of another layout are left out. Each batch is a transaction of its own.
    Nothing is yielded before the events of all customers are summed (`is_summed`).

    Parameters
    ----------
    newest
        Read the newest decisions only, so many at most; None: all.
    """
    if not ledger.read(lambda c: is_summed(c, rules)):
        return
    catalogs, after = LoggedCatalogs(rules), -1
    if newest is not None:
        oldest = ledger.read(lambda c: _NEWEST.first(c, {"newest": max(newest, 1) - 1}))
        after = after if oldest is None else oldest[0] - 1
    now_us = tables.micros(now)
    last: int | None = after
    while last is not None:
        read = partial(_batch, catalogs=catalogs, now_us=now_us, after=last, size=size)
        last, batch = ledger.read(read)
        if batch is not None:
            yield batch


def is_summed(connection: sa.Connection, rules: LabelRules) -> bool:
    """Return whether the events of all customers are summed by the objective of today."""
    return read_state(connection).begun("", rules.events.fingerprint).events.after is None


def _batch(
    connection: sa.Connection, catalogs: LoggedCatalogs, now_us: int, after: int, size: int
) -> tuple[int | None, LabelledDecisions | None]:
    """Read the decisions after a number, and the number of the last one; None: there is none."""
    rules, kept, records = catalogs.rules, list[_Logged](), list[Mapping[str, Any]]()
    last = None
    for values in _READ.rows(connection, {"after": after, "limit": size}):
        one = _Logged(*values)
        last = one.serial
        one = one._replace(record=unpacked_json(one.record))
        record = from_json(one.record) if rules.in_record else read_windows(one)
        if record.get("features_layout") == rules.layout:
            kept.append(one)
            records.append(record)
    return last, _labelled(connection, catalogs, now_us, kept, records) if kept else None


def _labelled(
    connection: sa.Connection,
    catalogs: LoggedCatalogs,
    now_us: int,
    kept: Sequence[_Logged],
    records: Sequence[Mapping[str, Any]],
) -> LabelledDecisions:
    rules, count = catalogs.rules, len(kept)
    rows = np.array(unpacked_float_rows([bytes(one.features) for one in kept]))
    chances = _chances(connection, catalogs, kept, records)  # reads the prices, too
    shown_us = np.array([one.shown_us for one in kept], dtype=np.int64)
    looks = [one if one.layout == rules.layout else one.without_look() for one in kept]
    looked_us = np.array([one.looked_us for one in looks], dtype=np.float64)  # nan for None
    followed = _followed(connection, rules, looks, shown_us, now_us)
    credited, cost = _credited(connection, catalogs, kept)
    return LabelledDecisions(
        rules.actions,
        rows=rows,
        later=with_changes(rows, [one.changes for one in looks]),
        looked_after_days=(looked_us - shown_us) / DAY_US,
        gone_at_look=followed.gone_at_look,
        channels=np.array([one.channel for one in kept], dtype=np.str_),
        arms=np.array([one.arm for one in kept], dtype=np.str_),
        shown=np.array([catalogs.place(one.action_id) for one in kept], dtype=np.int64),
        chances=chances,
        customers=np.array([_number(one.customer_id) for one in kept], dtype=np.int64),
        decided_us=shown_us,
        age_days=(now_us - shown_us) / DAY_US,
        margin=followed.margin,
        credited=credited,
        cost=cost,
        left_after_days=followed.left_after_days,
        remaining=_remaining(rules, rows, records),
        weight=np.ones(count),
    )


def _chances(
    connection: sa.Connection,
    catalogs: LoggedCatalogs,
    kept: Sequence[_Logged],
    records: Sequence[Mapping[str, Any]],
) -> NDArray[np.float64]:
    """Read the chances of all candidates of the first slot, shape (n, K + 1)."""
    # A column more takes those of actions that are `GONE`.
    chances = np.zeros((len(kept), len(catalogs.rules.actions) + 2))
    for row, one, record in zip(chances, kept, records, strict=True):
        if one.believed is None:  # of an earlier release
            for name, chance in logged_chances(one, record, ()).items():
                row[catalogs.place(name)] = chance
            continue
        columns = catalogs.columns(connection, record["catalog"])
        beliefs = Beliefs.from_bytes(bytes(one.believed))
        row[columns[beliefs.allowed]] = beliefs.probability[:-1]
        row[-2] = beliefs.probability[-1]
    return chances[:, :-1]


class _Followed(NamedTuple):
    """The columns of `LabelledDecisions` that follow from the events of the customers."""

    margin: NDArray[np.float64]
    left_after_days: NDArray[np.float64]
    gone_at_look: NDArray[np.bool_]


def _followed(
    connection: sa.Connection,
    rules: LabelRules,
    kept: Sequence[_Logged],
    shown_us: NDArray[np.int64],
    now_us: int,
) -> _Followed:
    """Follow the customers; the margin of the first day begins after the showing."""
    index: dict[str, int] = {}
    for one in kept:
        index.setdefault(one.customer_id, len(index))
    customer = np.array([index[one.customer_id] for one in kept], dtype=np.int64)
    days, first_day = read_days(connection, list(index)), shown_us // DAY_US
    last_day = np.minimum(first_day + rules.horizon_days, now_us // DAY_US)
    last_day = np.maximum(first_day, last_day)  # a clock may be behind that of the decision
    margin, left_after_days = follow(days, customer, first_day, last_day)
    for place in np.flatnonzero(follow(days, customer, first_day, first_day).margin).tolist():
        one = kept[place]
        margin[place] -= margin_before(connection, rules.events, one.customer_id, one.shown_us)
    gone = np.array([bool(one.has_left) for one in kept])
    if rules.events.silent_us:  # a silence has lasted long enough when nothing happens
        is_looked = np.array([one.looked_us is not None for one in kept])
        looked_us = np.array([one.looked_us or 0 for one in kept], dtype=np.int64)
        look_day = np.maximum(first_day, looked_us // DAY_US)
        by_then = follow(days, customer, first_day, look_day).left_after_days
        gone |= is_looked & ~np.isnan(by_then)
    return _Followed(margin, left_after_days, gone)


def _credited(
    connection: sa.Connection, catalogs: LoggedCatalogs, kept: Sequence[_Logged]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the value of the credited acceptances of each decision, and the costs."""
    credited, cost = np.zeros(len(kept)), np.zeros(len(kept))
    index = {one.decision_id: place for place, one in enumerate(kept)}
    for decision_id, action_id, acceptance in _CREDITED.rows(connection, {"ids": as_json(index)}):
        value, each = catalogs.prices.get(action_id, (0.0, 0.0))
        credited[index[decision_id]] += acceptance * value
        cost[index[decision_id]] += each
    return credited, cost


def _remaining(
    rules: LabelRules, rows: NDArray[np.float64], records: Sequence[Mapping[str, Any]]
) -> NDArray[np.float64]:
    """Read what each customer would take along by leaving, as known at the decision."""
    rule, found = rules.remaining, np.full(len(rows), rules.remaining.otherwise)
    if rules.remaining_at is not None:
        known = rows[:, rules.remaining_at]
        return np.where(np.isnan(known), found, np.maximum(known * rule.times, 0.0))
    if rules.in_record:
        logged = [record.get("remaining_value") for record in records]
        return np.array([found[0] if one is None else one for one in logged], dtype=np.float64)
    return found


def _number(customer_id: str) -> int:
    digest = hashlib.blake2b(customer_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
