"""Counts the contacts of an account in the database, for rules per account.

An account of 5,000 members may have thousands of contacts in the window of a cap. Reading them into
Python would take tens of milliseconds; a count by an index that covers the query takes one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from features.customers.contacts import CONTACTS, REACTED, Contact, as_contacts, in_order
from features.ledger import tables
from features.ledger.statements import Statement, list_parameters, list_values

Counted = Literal["action_id", "action_group", ""]
# Built once: building the expression would take longer than the database takes to answer it.
_COLUMNS = tables.contacts.c
_END_US = 1 << 62
_SINCE = sa.bindparam("since_us", type_=sa.BigInteger)
_END = sa.bindparam("end", type_=sa.BigInteger)
_SHOWN_US = sa.type_coerce(_COLUMNS.shown_at, sa.BigInteger)
_OF_ACCOUNT = (
    _COLUMNS.account == sa.bindparam("account", type_=sa.Text),
    _SHOWN_US > _SINCE,
    _SHOWN_US < _END,
)
_SHOWN = Statement(CONTACTS.where(*_OF_ACCOUNT))
_REACTED = Statement(REACTED.where(_OF_ACCOUNT[0]))


@dataclass(frozen=True)
class ContactScope:
    """Contacts that a rule counts; None means all.

    Attributes
    ----------
    channels, groups, actions
        Contacts on, or of, one of these.
    other_channels, other_groups
        Contacts on, or of, none of these.
    """

    channels: tuple[str, ...] | None = None
    other_channels: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    other_groups: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None

    def filters(self) -> tuple[_Filter, ...]:
        """List the filters of the scope, each with the texts that it is about."""
        every = (
            _Filter("channel", self.channels, True),
            _Filter("channel", self.other_channels, False),
            _Filter("action_group", self.groups, True),
            _Filter("action_group", self.other_groups, False),
            _Filter("action_id", self.actions, True),
        )
        return tuple(one for one in every if one.texts is not None)


class _Filter(NamedTuple):
    column: str
    texts: tuple[str, ...] | None
    among: bool


@dataclass(frozen=True)
class AccountCount:
    """A count of contacts in the last days.

    Attributes
    ----------
    by
        The column by whose values contacts are counted apart; empty: all together.
    at_most
        Of so many contacts and more, also the time of the newest but ``at_most - 1`` is read.
    """

    scope: ContactScope
    days: float
    by: Counted
    at_most: int

    @cached_property
    def key(self) -> str:
        """A text that names the count in the record of a decision."""
        return json.dumps([self.by, self.at_most, self.days, *self.scope.filters()])


class AccountContacts(NamedTuple):
    """The contacts of an account, as a decision for one of its customers needs them.

    Attributes
    ----------
    counts
        By `AccountCount.key`, and by the value of its column: the number of contacts, and the time
        of the newest but ``at_most - 1`` in microseconds since 1970; 0 if there are fewer.
    showings
        The contacts themselves, the oldest first, where a rule needs more than their number.
    showings_of
        Names the window of ``showings``: `showings_key`.
    """

    counts: Mapping[str, Mapping[str, Sequence[int]]]
    showings: Sequence[Contact]
    showings_of: str


class ShowingsWindow(NamedTuple):
    """The contacts of an account that are needed themselves.

    Attributes
    ----------
    days
        Those that were shown in the last days.
    reaction_days
        Those with an outcome in the last days, whenever they were shown.
    """

    days: float
    reaction_days: float

    @property
    def key(self) -> str:
        """A text that names the window in the record of a decision."""
        return f"showings of {self.days:g} days, outcomes of {self.reaction_days:g} days"


def read_account_contacts(
    connection: sa.Connection,
    account: str,
    counts: Sequence[AccountCount],
    window: ShowingsWindow | None,
    now: datetime,
    before: datetime | None = None,
) -> AccountContacts:
    """Count the contacts of an account up to a decision, and read those of a window.

    Parameters
    ----------
    before
        Leave out contacts from then on; None: there are none.
    """
    end_us = _END_US if before is None else tables.micros(before)
    values = {"account": account, "end": end_us}
    found = {one.key: _count(connection, one, values | _since(now, one.days)) for one in counts}
    if window is None:
        return AccountContacts(found, (), "")
    since = _since(now, window.days)
    showings = as_contacts(_SHOWN.rows(connection, values | since)) if window.days else []
    if window.reaction_days:
        reacted_us = tables.micros(now - timedelta(days=window.reaction_days))
        some = {"account": account, "reacted_us": reacted_us}
        until_us = min(since["since_us"], end_us - 1)
        reacted = as_contacts(_REACTED.rows(connection, some))
        showings = in_order(one for one in reacted if one.shown_us <= until_us) + showings
    return AccountContacts(found, showings, window.key)


def _since(now: datetime, days: float) -> dict[str, int]:
    return {"since_us": tables.micros(now - timedelta(days=days))}


def _count(
    connection: sa.Connection, asked: AccountCount, values: Mapping[str, Any]
) -> dict[str, list[int]]:
    filters = asked.scope.filters()
    shape = tuple((one.column, one.among, len(one.texts or ())) for one in filters)
    values = {**values}
    for number, one in enumerate(filters):
        values |= list_values(f"f{number}", one.texts or ())
    found = {}
    for name, count in _counts(asked.by, shape).rows(connection, values):
        nth_us = 0
        if 0 < asked.at_most <= count:
            some = values | {"name": name, "place": asked.at_most - 1}
            row = _nth(asked.by, shape).first(connection, some)
            nth_us = row[0] if row else 0
        if count:
            found[name] = [count, nth_us]
    return found


_Shape = tuple[tuple[str, bool, int], ...]


@cache
def _counts(by: Counted, shape: _Shape) -> Statement:
    column: Any = _COLUMNS[by] if by else sa.literal_column("''")
    query = _filtered(sa.select(column, sa.func.count()), shape)
    return Statement(query.group_by(column) if by else query)


@cache
def _nth(by: Counted, shape: _Shape) -> Statement:
    query = _filtered(sa.select(_SHOWN_US), shape)
    if by:
        query = query.where(_COLUMNS[by] == sa.bindparam("name", type_=sa.Text))
    place = sa.bindparam("place", type_=sa.Integer)
    return Statement(query.order_by(_COLUMNS.shown_at.desc()).limit(1).offset(place))


def _filtered(query: sa.Select[Any], shape: _Shape) -> sa.Select[Any]:
    query = query.select_from(tables.contacts).where(*_OF_ACCOUNT)
    for number, (name, among, size) in enumerate(shape):
        texts, column = list_parameters(f"f{number}", size), _COLUMNS[name]
        if size:
            query = query.where(column.in_(texts) if among else column.not_in(texts))
        elif among:
            query = query.where(sa.false())
    return query
