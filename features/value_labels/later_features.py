"""Stores the features of a decision's customer some days after the decision was shown.

From them the surrogate tells how likely the customer is to leave, long before it is known. A step
finds the decisions that are due, reads their customers as they are now, and writes what differs
from the features of the decision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.decided_actions import read_windows
from features.ledger import tables
from features.ledger.statements import Statement
from features.rewards.decision_rewards import DAY_US
from features.value_labels.customer_rows import CustomerRow

LATER_DAYS = 3.0  # after a decision was shown its customer is looked at
LATEST_DAYS = 10.0  # a decision that was shown longer ago is not looked at any more
SCANNED, BATCH = 5_000, 250  # decisions that are gone through for one step, and read at once
POSITION = "later features looked at"  # key of `meta`

_DECIDED = tables.decisions.c
_SHOWN_US = sa.type_coerce(_DECIDED.activated_at, sa.BigInteger)
_DECIDED_US = sa.type_coerce(_DECIDED.decided_at, sa.BigInteger)
_SERIAL, _SINCE_US = (sa.bindparam(one, type_=sa.BigInteger) for one in ("serial", "since"))
_UNTIL_US, _LIMIT = (
    sa.bindparam("until", type_=sa.BigInteger),
    sa.bindparam("limit", type_=sa.Integer),
)
_READ = (
    _DECIDED.serial,
    _DECIDED.customer_id,
    _DECIDED.features,
    _DECIDED.record,
    _DECIDED.believed,
)
# Decisions that were shown when they were made are in the order of their numbers.
_NEXT = Statement(
    sa.select(
        _DECIDED.serial,
        _DECIDED_US,
        sa.and_(_DECIDED.served, _DECIDED.arm.is_not(None), _DECIDED.activation.is_(None)),
    )
    .where(_DECIDED.serial > _SERIAL)
    .order_by(_DECIDED.serial)
    .limit(_LIMIT)
)
# Those that were shown later are found by the time of their showing.
_NEXT_SHOWN_LATER = Statement(
    sa.select(_DECIDED.serial, _SHOWN_US)
    .where(
        _DECIDED.activation.is_not(None),
        _SHOWN_US >= _SINCE_US,
        _SHOWN_US <= _UNTIL_US,
        sa.or_(_SHOWN_US > _SINCE_US, _DECIDED.serial > _SERIAL),
    )
    .order_by(_DECIDED.activated_at, _DECIDED.serial)
    .limit(_LIMIT)
)


class LookPosition(NamedTuple):
    """The progress of the looks.

    Attributes
    ----------
    serial : int
        Of the decisions that were shown when they were made.
    shown_us, shown_serial : int
        Of those that were shown later: time of the showing, microseconds since 1970, and number.
    looked : int
        The number of decisions that were looked at so far.
    """

    serial: int = 0
    shown_us: int = 0
    shown_serial: int = 0
    looked: int = 0


class DueDecision(NamedTuple):
    """A decision whose customer is to be looked at.

    Attributes
    ----------
    row : shape (n_features,)
        The features at the decision.
    """

    serial: int
    customer_id: str
    row: NDArray[np.float64]


class DueDecisions(NamedTuple):
    """The decisions of one step, and the position before and after it."""

    decisions: list[DueDecision]
    before: LookPosition
    after: LookPosition

    @property
    def is_nothing(self) -> bool:
        """Return whether there is nothing to write: no decision has become due."""
        return self.before == self.after


def look_position(connection: sa.Connection) -> LookPosition:
    """Read how far decisions were looked at, and how many."""
    stored = tables.get_meta(connection, POSITION)
    return LookPosition(**json.loads(stored)) if stored else LookPosition()


def due_decisions(connection: sa.Connection, layout: str, now: datetime, size: int) -> DueDecisions:
    """Find the next decisions that were shown `LATER_DAYS` ago, and not `LATEST_DAYS` ago.

    Those with features of another layout are passed over, as nothing can be compared with them.

    Parameters
    ----------
    layout
        The fingerprint of the layout of features.
    size
        The number of decisions that are found at most.
    """
    before, now_us = look_position(connection), tables.micros(now)
    span = now_us - int(LATEST_DAYS * DAY_US), now_us - int(LATER_DAYS * DAY_US)
    at_once, serial = _shown_at_once(connection, before.serial, span, size)
    since = (before.shown_us, before.shown_serial)
    first = max(since, (span[0], 0))
    values = {"since": first[0], "serial": first[1], "until": span[1]}
    values["limit"] = max(size - len(at_once), 1)
    later = _NEXT_SHOWN_LATER.rows(connection, values)
    if later:
        since = (later[-1][1], later[-1][0])
    found = _read_decisions(connection, [*at_once, *(row[0] for row in later)], layout)
    return DueDecisions(found, before, LookPosition(serial, *since, before.looked))


def write_looks(
    connection: sa.Connection,
    due: DueDecisions,
    seen: Mapping[str, CustomerRow],
    layout: str,
    now: datetime,
) -> bool:
    """Write the features of now of the customers of due decisions, in one transaction.

    Nothing is written of decisions that were erased or moved to another customer meanwhile.

    Parameters
    ----------
    seen
        The customers as they are; one who is missing is not looked at.

    Returns
    -------
    bool
        False if another process has done a step since these decisions were found.
    """
    if look_position(connection) != due.before:
        return False
    owners = _owners(connection, [one.serial for one in due.decisions])
    rows = [
        {
            "serial": one.serial,
            "looked_at": now,
            "has_left": seen[one.customer_id].has_left,
            "changes": pack_changes(one.row, seen[one.customer_id].row),
            "layout": layout,
        }
        for one in due.decisions
        if one.customer_id in seen and owners.get(one.serial) == one.customer_id
    ]
    if rows:
        tables.upsert(connection, tables.later_features, rows)
    after = due.after._replace(looked=due.after.looked + len(rows))
    tables.set_meta(connection, POSITION, json.dumps(after._asdict()))
    return True


def pack_changes(row: NDArray[np.float64], later: NDArray[np.float64]) -> bytes:
    """Pack the positions at which features differ, and their later values as float32.

    Parameters
    ----------
    row, later : shape (n_features,)
    """
    places = np.flatnonzero((row != later) & ~(np.isnan(row) & np.isnan(later)))
    return places.astype("<u2").tobytes() + later[places].astype("<f4").tobytes()


def with_changes(rows: NDArray[np.float64], packed: Sequence[bytes | None]) -> NDArray[np.float64]:
    """Give the later features of some decisions; nan where there was no look.

    Parameters
    ----------
    rows : shape (n, n_features)
        The features at the decisions.
    packed
        What `pack_changes` has packed of each; None: nobody has looked.

    Returns
    -------
    shape (n, n_features)
    """
    later = rows.copy()
    for place, one in enumerate(packed):
        if one is None:
            later[place] = np.nan
        else:
            count = len(one) // 6
            later[place, np.frombuffer(one, "<u2", count)] = np.frombuffer(
                one, "<f4", count, 2 * count
            )
    return later


def _shown_at_once(
    connection: sa.Connection, serial: int, span: tuple[int, int], size: int
) -> tuple[list[int], int]:
    """Find due decisions that were shown when they were made, and up to where it was searched."""
    found: list[int] = []
    batches = _NEXT.batches(connection, {"serial": serial, "limit": SCANNED}, BATCH)
    for number, decided_us, counts in chain.from_iterable(batches):
        # A younger one ends the search, shown or not: one before it may not be committed yet.
        if decided_us > span[1] or len(found) == size:
            break
        serial = number
        if counts and decided_us >= span[0]:
            found.append(number)
    return found, serial


def _read_decisions(
    connection: sa.Connection, serials: Sequence[int], layout: str
) -> list[DueDecision]:
    query = sa.select(*_READ).where(_DECIDED.serial.in_(serials), _DECIDED.features.is_not(None))
    kept = [
        row
        for row in connection.execute(query.order_by(_DECIDED.serial))
        if row.record is not None and read_windows(row).get("features_layout") == layout
    ]
    return [
        DueDecision(row.serial, row.customer_id, np.frombuffer(row.features, "<f8")) for row in kept
    ]


def _owners(connection: sa.Connection, serials: Sequence[int]) -> dict[int, str]:
    query = sa.select(_DECIDED.serial, _DECIDED.customer_id).where(_DECIDED.serial.in_(serials))
    return dict(tuple(row) for row in connection.execute(query))
