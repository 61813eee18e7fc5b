"""Reads the rows of served decisions from the ledger, with what was logged of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.decided_actions import WINDOWS, read_windows
from features.ledger import tables
from features.ledger.columns import unpacked_json
from features.ledger.statements import Statement
from features.value_labels.label_rules import LoggedCatalogs

# Of a record, as `to_json` writes it.
_NAMES = re.compile(
    r',"catalog":"(?P<catalog>\w+)","features_layout":"(?P<features_layout>\w+)",'
    rf'"{WINDOWS}":\{{'
)

_DECIDED, _LATER = tables.decisions.c, tables.later_features.c
# Not simply "served": with that the database would use the index on windows, and read all rows.
_COUNTS = (
    _DECIDED.served.is_not(sa.false()),
    _DECIDED.arm.is_not(None),
    _DECIDED.features.is_not(None),
    _DECIDED.record.is_not(None),
)
_EVERY = sa.bindparam("every", type_=sa.BigInteger)
# A client may ask in turn, such as for two channels: every n-th number would be one of these alone.
MULTIPLIER, PRIME = 1_103_515_245, 2**31 - 1
_MIXED = _DECIDED.serial * sa.literal(MULTIPLIER, sa.BigInteger) % sa.literal(PRIME, sa.BigInteger)
_AFTER, _LIMIT = sa.bindparam("after", type_=sa.BigInteger), sa.bindparam("limit", type_=sa.Integer)


class LoggedDecisionRow(NamedTuple):
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

    def without_look(self) -> LoggedDecisionRow:
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
    .where(_DECIDED.serial > _AFTER, _MIXED % _EVERY == 0, *_COUNTS)
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


class LoggedRows(NamedTuple):
    """Some decisions that can be labelled.

    Attributes
    ----------
    rows
    records
        Of each at least its layout of features and, unless it is of an earlier release, its
        catalogue.
    last : int or None
        The number of the last decision that was read; None: there was none.
    """

    rows: list[LoggedDecisionRow]
    records: list[Mapping[str, Any]]
    last: int | None


def first_of_newest(connection: sa.Connection, newest: int) -> int:
    """Return the number of the first of the newest decisions; 0 if there are not so many."""
    found = _NEWEST.first(connection, {"newest": max(newest, 1) - 1})
    return 0 if found is None else int(found[0])


def read_logged_rows(
    connection: sa.Connection, catalogs: LoggedCatalogs, after: int, size: int, every: int
) -> LoggedRows:
    """Read the next decisions after a number, without those that cannot be labelled.

    Parameters
    ----------
    size : int
        Decisions that are read, at most.
    every : int
        Read one of so many, by their mixed numbers.
    """
    rules, last = catalogs.rules, None
    rows, records = list[LoggedDecisionRow](), list[Mapping[str, Any]]()
    for values in _READ.rows(connection, {"after": after, "limit": size, "every": every}):
        one = LoggedDecisionRow(*values)
        last = one.serial
        record = _record(one, rules.in_record)
        if record.get("features_layout") == rules.layout and (
            one.believed is None or catalogs.has(connection, record["catalog"])
        ):
            rows.append(one)
            records.append(record)
    return LoggedRows(rows, records, last)


def _record(one: LoggedDecisionRow, whole: bool) -> Mapping[str, Any]:
    """Read the record of a decision: if not whole, its catalogue and layout alone, in most cases.

    They stand side by side, before an object. No text that somebody sent can look like that, as
    its quotes are escaped.
    """
    text = unpacked_json(one.record)
    if whole:
        record: Mapping[str, Any] = from_json(text)
        return record
    found = None if one.believed is None else _NAMES.search(text)
    if found is not None:
        return found.groupdict()
    return read_windows(one._replace(record=text))
