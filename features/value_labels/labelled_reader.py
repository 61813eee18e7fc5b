"""Reads labelled decisions from the ledger, some thousand at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.decided_actions import first_slot_chances, logged_chances
from features.ledger import tables
from features.ledger.columns import unpacked_float_rows
from features.ledger.ledger import Ledger
from features.ledger.statements import Statement, as_json, texts_of
from features.rewards.decision_rewards import DAY_US
from features.rewards.reward_state import read_state
from features.value_labels.follow_up import follow, margin_before, read_days
from features.value_labels.label_rules import LabelRules, LoggedCatalogs
from features.value_labels.labelled_decisions import LabelledDecisions
from features.value_labels.later_features import with_changes
from features.value_labels.logged_rows import (
    LoggedDecisionRow,
    LoggedRows,
    first_of_newest,
    read_logged_rows,
)

BATCH = 4_000  # decisions read in one transaction: some 0.2 seconds
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
    every: int = 1,
    size: int = BATCH,
) -> Iterator[LabelledDecisions]:
    """Yield the labelled decisions of a ledger in batches, in the order in which they were made.

    Left out are decisions that were not shown, imported ones, those whose features retention has
    removed, those with features of another layout, and those by a catalogue that is gone. Each
    batch is a transaction of its own. Nothing is yielded before the events of all customers are
    summed (`is_summed`).

    Parameters
    ----------
    newest
        Read the newest decisions only, so many at most; None: all.
    every
        Read every n-th of these, by their numbers: a sample.
    """
    if not ledger.read(lambda c: is_summed(c, rules)):
        return
    catalogs, last = LoggedCatalogs(rules), -1
    if newest is not None:
        last = ledger.read(lambda c: first_of_newest(c, newest)) - 1
    now_us = tables.micros(now)

    def read(connection: sa.Connection) -> tuple[int | None, LabelledDecisions | None]:
        logged = read_logged_rows(connection, catalogs, last, size, every)
        rows = logged.rows
        return logged.last, _labelled(connection, catalogs, now_us, logged) if rows else None

    while True:
        following, labelled = ledger.read(read)
        if following is None:
            return
        last = following
        if labelled is not None:
            yield labelled


def is_summed(connection: sa.Connection, rules: LabelRules) -> bool:
    """Return whether the events of all customers are summed by the objective of today."""
    return read_state(connection).begun("", rules.events.fingerprint).events.after is None


def _labelled(
    connection: sa.Connection, catalogs: LoggedCatalogs, now_us: int, logged: LoggedRows
) -> LabelledDecisions:
    rules, kept, records = catalogs.rules, logged.rows, logged.records
    rows = np.array(unpacked_float_rows([bytes(one.features) for one in kept]))
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
        chances=_chances(catalogs, kept, records),
        customers=np.array([_number(one.customer_id) for one in kept], dtype=np.int64),
        decided_us=shown_us,
        age_days=(now_us - shown_us) / DAY_US,
        margin=followed.margin,
        credited=credited,
        cost=cost,
        left_after_days=followed.left_after_days,
        leaving_known_days=(now_us - shown_us - rules.events.silent_us) / DAY_US,
        remaining=_remaining(rules, rows, records),
        weight=np.ones(len(kept)),
    )


def _chances(
    catalogs: LoggedCatalogs,
    kept: Sequence[LoggedDecisionRow],
    records: Sequence[Mapping[str, Any]],
) -> NDArray[np.float64]:
    """Read the chances of all candidates of the first slot, shape (n, K + 1)."""
    # A column more takes those of actions that are `GONE`.
    chances = np.zeros((len(kept), len(catalogs.rules.actions) + 2))
    of_catalog: dict[str, list[int]] = {}
    for place, (one, record) in enumerate(zip(kept, records, strict=True)):
        if one.believed is not None:
            of_catalog.setdefault(record["catalog"], []).append(place)
            continue
        for name, chance in logged_chances(one, record, ()).items():  # of an earlier release
            chances[place, catalogs.place(name)] = chance
    for fingerprint, places in of_catalog.items():
        logged = first_slot_chances([bytes(kept[place].believed or b"") for place in places])
        chances[np.ix_(np.array(places), catalogs.columns[fingerprint])] = logged
    return chances[:, :-1]


class _Followed(NamedTuple):
    """The columns of `LabelledDecisions` that follow from the events of the customers."""

    margin: NDArray[np.float64]
    left_after_days: NDArray[np.float64]
    gone_at_look: NDArray[np.bool_]


def _followed(
    connection: sa.Connection,
    rules: LabelRules,
    kept: Sequence[LoggedDecisionRow],
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
    if silent_days := rules.events.silent_us // DAY_US:
        # Who falls silent leaves when the silence begins, and it is known when it has lasted.
        until = np.maximum(first_day, np.minimum(last_day + silent_days, now_us // DAY_US))
        ended = follow(days, customer, first_day, until).left_after_days
        left_after_days = np.where(ended < 0, ended, np.maximum(ended - silent_days, 0))
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
    connection: sa.Connection, catalogs: LoggedCatalogs, kept: Sequence[LoggedDecisionRow]
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
