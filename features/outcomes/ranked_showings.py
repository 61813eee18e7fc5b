"""Reads from the ledger what decisions with several shown actions showed, and what came of it.

A ledger without such decisions has nothing to read: a partial index holds only them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features.business.catalog import Catalog
from features.business.decided_actions import shown_beliefs
from features.ledger import tables
from features.outcomes.attribution import DECISION_COLUMNS, shown_by
from features.outcomes.credit_rules import ShownAction
from features.outcomes.examination import RankedShowings

ARMS = ("control", "random", "nobody", "policy")
MOST_DECISIONS = 10_000  # of each arm that are read, evenly thinned
# Of the time that is read: at least so many longest attribution windows, and so many days. A new
# layout of the page is known after that time.
WINDOWS_READ, DAYS_READ = 2.0, 30.0

# By action, window and ages, both in seconds: the share of its acceptances that have come.
ShareOf = Callable[[str, float, NDArray[np.float64]], NDArray[np.float64]]


class _Showing(NamedTuple):
    """A shown action with what was believed of it."""

    shown: ShownAction
    channel: str
    believed: float


def read_ranked_showings(
    connection: sa.Connection, catalog: Catalog, as_of: datetime, share_of: ShareOf
) -> RankedShowings:
    """Read the actions that decisions with several of them showed, as of a time.

    It is a function of the ledger and of ``as_of`` alone. Decisions of the arm ``random``, whose
    order is drawn evenly, are not thinned because of the many others. Of an outcome that several
    slots of one decision share, the best rank is taken.

    Parameters
    ----------
    as_of
        All that was received until then is on disk.
    share_of
        Tells for each shown action the share of its acceptances that has come by then.
    """
    found, accepted = list[_Showing](), dict[tuple[str, str], float]()
    since = as_of - timedelta(days=days_read(catalog))
    for arm in ARMS:
        within = {"arm": arm, "as_of": as_of, "since": since}
        counted: int = connection.execute(_COUNT, within).scalar_one()
        if counted:
            sample = {**within, "every": ceil(counted / MOST_DECISIONS)}
            showings = _showings(connection, catalog, sample)
            found += showings
            accepted |= _accepted(connection, catalog, sample, showings)
    return _arrays(found, accepted, as_of, share_of)


def days_read(catalog: Catalog) -> float:
    """Return the time before an epoch from which showings are read, in days."""
    longest = max(action.attribution_days for action in catalog.actions.values())
    return max(WINDOWS_READ * longest, DAYS_READ)


def _showings(
    connection: sa.Connection, catalog: Catalog, sample: Mapping[str, object]
) -> list[_Showing]:
    found = []
    for row in connection.execute(_DECISIONS, sample):
        try:
            believed = shown_beliefs(row, from_json(row.record))
        except ValueError:  # bytes of one decision are damaged: the others tell of the looks
            continue
        found += [
            _Showing(one, row.channel, believed[one.action_id][0])
            for one in shown_by(row)
            if one.action_id in catalog.actions
        ]
    return found


def _accepted(
    connection: sa.Connection,
    catalog: Catalog,
    sample: Mapping[str, object],
    showings: list[_Showing],
) -> dict[tuple[str, str], float]:
    """The largest acceptance that was reported of each shown action within its window."""
    outcomes = catalog.outcomes
    worth = {name: one.acceptance for name, one in outcomes.items() if one.acceptance}
    shown = {one.shown.key: one.shown for one in showings}
    told = [
        (shown[row.decision_id, row.action_id], row)
        for row in connection.execute(_TOLD, sample)
        if (row.decision_id, row.action_id) in shown and row.outcome in worth
    ]
    found: dict[tuple[str, str], float] = {}
    shared: dict[tuple[str, str], str] = {}
    for one, row in sorted(told, key=lambda pair: pair[0].rank):
        if row.occurred_at > one.ends_at:
            continue
        if row.shared_id is not None:
            holder = shared.setdefault((one.decision_id, row.shared_id), one.action_id)
            if holder != one.action_id:
                continue
        found[one.key] = max(found.get(one.key, 0.0), worth[row.outcome])
    return found


def _arrays(
    showings: list[_Showing],
    accepted: dict[tuple[str, str], float],
    as_of: datetime,
    share_of: ShareOf,
) -> RankedShowings:
    action = np.array([one.shown.action_id for one in showings], dtype=np.str_)
    shown_at = [one.shown.shown_at for one in showings]
    ages = np.array([(as_of - at).total_seconds() for at in shown_at])
    ends = [one.shown.ends_at - one.shown.shown_at for one in showings]
    windows = np.array([window.total_seconds() for window in ends])
    come = np.zeros(len(showings))
    for name, window_s in {*zip(action.tolist(), windows.tolist(), strict=True)}:
        mine = (action == name) & (windows == window_s)
        come[mine] = share_of(name, window_s, ages[mine])
    return RankedShowings(
        channel=np.array([one.channel for one in showings], dtype=np.str_),
        action=action,
        rank=np.array([one.shown.rank for one in showings], dtype=np.intp),
        believed=np.array([one.believed for one in showings], dtype=np.float64),
        shown=come,
        accepted=np.array([accepted.get(one.shown.key, 0.0) for one in showings]),
    )


def _within() -> list[sa.ColumnElement[bool]]:
    """Conditions on decisions; parameters are arm, since and as_of."""
    decided = tables.decisions.c
    return [
        tables.several_shown,
        decided.arm == sa.bindparam("arm", type_=sa.Text),
        decided.activated_at > sa.bindparam("since", type_=tables.UtcMicros),
        decided.activated_at <= sa.bindparam("as_of", type_=tables.UtcMicros),
    ]


_SAMPLED = (*_within(), tables.decisions.c.serial % sa.bindparam("every", type_=sa.BigInteger) == 0)
_COUNT = sa.select(sa.func.count()).select_from(tables.decisions).where(*_within())
_DECISIONS = (
    sa.select(*DECISION_COLUMNS, tables.decisions.c.channel, tables.decisions.c.believed)
    .where(*_SAMPLED, tables.decisions.c.record.is_not(None))
    .order_by(tables.decisions.c.serial)
)
_TOLD = (
    sa.select(
        *(tables.outcomes.c[name] for name in ("decision_id", "action_id", "outcome")),
        *(tables.outcomes.c[name] for name in ("occurred_at", "shared_id")),
    )
    .join(tables.decisions, tables.decisions.c.decision_id == tables.outcomes.c.decision_id)
    .where(
        *_SAMPLED,
        tables.outcomes.c.retracts.is_(None),
        tables.outcomes.c.received_at <= sa.bindparam("as_of", type_=tables.UtcMicros),
    )
)
