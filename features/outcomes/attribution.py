"""Reads shown actions and their outcomes from the ledger, for the rules of credit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import NO_ACTION, Catalog
from features.business.decided_actions import WINDOWS
from features.ledger import tables
from features.ledger.statements import select_in_batches
from features.outcomes.credit_rules import (
    AttributedAction,
    CreditShares,
    ReportedOutcome,
    ShownAction,
    attribute_outcomes,
    credit_shares,
)

# The columns of a decision that `shown_by` needs.
DECISION_COLUMNS = tuple(
    tables.decisions.c[name]
    for name in (
        *("decision_id", "action_id", "decided_at", "activated_at", "window_ends_at"),
        *("activation", "record"),
    )
)


class Attribution(NamedTuple):
    """Shown actions with their outcomes, and the shares of credit for shared outcomes."""

    actions: list[AttributedAction]
    shares: CreditShares


def read_attribution(
    connection: sa.Connection,
    shown: Sequence[ShownAction],
    catalog: Catalog,
    received_before: datetime | None = None,
) -> Attribution:
    """Attribute outcomes to shown actions; the result has the order of ``shown``.

    Also reads every other decision that shares an outcome with these, of any customer: the
    shares of credit depend on them.

    Parameters
    ----------
    received_before
        Attribute as of this time: outcomes that were received later are left out. None: all.
    """
    reported = _reported(connection, {one.decision_id for one in shown}, received_before)
    shared = {one.shared_id for outcomes in reported.values() for one in outcomes} - {None}
    actions = _attributed(shown, reported, catalog)
    if not shared:
        return Attribution(actions, {})
    other_ids = sorted(_decisions_of(connection, shared) - {one.decision_id for one in shown})
    others = list(shown_actions(connection, other_ids))
    sharers = _attributed(others, _reported(connection, other_ids, received_before), catalog)
    return Attribution(actions, credit_shares([*actions, *sharers], catalog))


def sharing_decisions(connection: sa.Connection, decision_ids: Iterable[str]) -> set[str]:
    """The decisions that share an outcome with one of these, these included."""
    columns = tables.outcomes.c
    query = sa.select(columns.shared_id).where(columns.shared_id.is_not(None)).distinct()
    found = select_in_batches(connection, query, columns.decision_id, decision_ids)
    return _decisions_of(connection, {row.shared_id for row in found})


def shown_actions(connection: sa.Connection, decision_ids: Iterable[str]) -> Iterator[ShownAction]:
    """The actions that decisions showed; none of a decision that is not activated yet."""
    query = sa.select(*DECISION_COLUMNS)
    for row in select_in_batches(connection, query, tables.decisions.c.decision_id, decision_ids):
        yield from shown_by(row)


def shown_by(row: Any, record: Mapping[str, Any] | None = None) -> list[ShownAction]:
    """The actions that one decision showed, best rank first; `no_action` is not among them.

    Of what an activation withdrew nothing was seen, so the actions below it move up a rank.

    Parameters
    ----------
    row
        With the `DECISION_COLUMNS` of a decision.
    record
        Its record, if it is read already.
    """
    at = row.activated_at
    if at is None:
        return []
    if row.record is None:  # imported: one action, with the window of the time of the import
        only = ShownAction(row.decision_id, row.action_id, at, row.window_ends_at)
        return [only] if row.action_id != NO_ACTION else []
    days: dict[str, float] = (record or from_json(row.record))[WINDOWS]
    kept = activated(row)
    seen = [action_id for action_id in days if kept is None or action_id in kept]
    return [
        ShownAction(row.decision_id, action_id, at, at + timedelta(days=days[action_id]), rank)
        for rank, action_id in enumerate(seen, start=1)
    ]


def activated(row: Any) -> list[str] | None:
    """The actions that a later activation showed; None if the decision was shown at once."""
    return from_json(row.activation)["activated"] if row.activation else None


def _attributed(
    shown: Iterable[ShownAction],
    reported: dict[tuple[str, str], list[ReportedOutcome]],
    catalog: Catalog,
) -> list[AttributedAction]:
    return [attribute_outcomes(one, reported.get(one.key, ()), catalog) for one in shown]


def _reported(
    connection: sa.Connection, decision_ids: Iterable[str], received_before: datetime | None
) -> dict[tuple[str, str], list[ReportedOutcome]]:
    """All outcomes of some decisions, by decision and action."""
    columns = tables.outcomes.c
    query = sa.select(
        columns.decision_id, columns.action_id, *(columns[name] for name in ReportedOutcome._fields)
    )
    if received_before is not None:
        query = query.where(columns.received_at < received_before)
    found: dict[tuple[str, str], list[ReportedOutcome]] = {}
    for row in select_in_batches(connection, query, columns.decision_id, decision_ids):
        cells: list[Any] = list(row)
        found.setdefault((cells[0], cells[1]), []).append(ReportedOutcome._make(cells[2:]))
    return found


def _decisions_of(connection: sa.Connection, shared_ids: Iterable[str | None]) -> set[str]:
    """The decisions that have an outcome with one of these ``shared_id``."""
    columns = tables.outcomes.c
    query = sa.select(columns.decision_id).distinct()
    names = [name for name in shared_ids if name is not None]
    return {
        row.decision_id for row in select_in_batches(connection, query, columns.shared_id, names)
    }
