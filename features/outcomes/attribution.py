"""From the ledger to `credit_rules`: what was shown, what was told of it, who shares in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import NO_ACTION, Catalog
from features.customers.identity import among
from features.ledger import tables
from features.outcomes.credit_rules import (
    AttributedAction,
    ReportedOutcome,
    Shares,
    ShownAction,
    shares,
    touch,
)

# What `shown_by` reads of a decision.
SHOWN_COLUMNS = tuple(
    tables.decisions.c[name]
    for name in (
        *("decision_id", "action_id", "decided_at", "activated_at", "window_ends_at"),
        *("activation", "record"),
    )
)


class Attributed(NamedTuple):
    """Shown actions with what was told of them, and the shares in what others were told too."""

    touches: list[AttributedAction]
    shares: Shares


def attributed(
    connection: sa.Connection, shown: Sequence[ShownAction], catalog: Catalog
) -> Attributed:
    """What is put down to shown actions, in their order.

    Reads the outcomes of their decisions, and whatever else shares in those, of whomever.
    """
    told = _told(connection, {one.decision_id for one in shown})
    mine = {said.shared_id for outcomes in told.values() for said in outcomes} - {None}
    touches = _touches(shown, told, catalog)
    if not mine:
        return Attributed(touches, {})
    those = sorted(_told_of_shared(connection, mine) - {one.decision_id for one in shown})
    others = list(shown_actions(connection, those))
    theirs = _touches(others, _told(connection, those), catalog)
    return Attributed(touches, shares([*touches, *theirs], catalog))


def sharing(connection: sa.Connection, decision_ids: Iterable[str]) -> set[str]:
    """The decisions that were told of something that one of these was told of too."""
    columns = tables.outcomes.c
    query = sa.select(columns.shared_id).where(columns.shared_id.is_not(None)).distinct()
    found = among(connection, query, columns.decision_id, decision_ids)
    return _told_of_shared(connection, {row.shared_id for row in found})


def shown_actions(connection: sa.Connection, decision_ids: Iterable[str]) -> Iterator[ShownAction]:
    """What decisions showed; nothing of those that were not activated yet."""
    query = sa.select(*SHOWN_COLUMNS)
    for row in among(connection, query, tables.decisions.c.decision_id, decision_ids):
        yield from shown_by(row)


def shown_by(row: Any) -> list[ShownAction]:
    """What one decision showed, best rank first; `no_action` shows nothing.

    Parameters
    ----------
    row
        With the `SHOWN_COLUMNS` of a decision.
    """
    at = row.activated_at
    if at is None:
        return []
    if row.record is None:  # imported: of one action, and the window it had at that time
        only = ShownAction(row.decision_id, row.action_id, at, row.window_ends_at)
        return [only] if row.action_id != NO_ACTION else []
    days: dict[str, float] = from_json(row.record)["attribution_days"]
    kept = activated(row)
    return [
        ShownAction(row.decision_id, action_id, at, at + timedelta(days=length))
        for action_id, length in days.items()
        if kept is None or action_id in kept
    ]


def activated(row: Any) -> list[str] | None:
    """The actions that were shown when a decision was activated later; None if it was at once."""
    return from_json(row.activation)["activated"] if row.activation else None


def _touches(
    shown: Iterable[ShownAction],
    told: dict[tuple[str, str], list[ReportedOutcome]],
    catalog: Catalog,
) -> list[AttributedAction]:
    return [touch(one, told.get(one.key, ()), catalog) for one in shown]


def _told(
    connection: sa.Connection, decision_ids: Iterable[str]
) -> dict[tuple[str, str], list[ReportedOutcome]]:
    """All outcomes of some decisions, by decision and action."""
    columns = tables.outcomes.c
    query = sa.select(
        columns.decision_id, columns.action_id, *(columns[name] for name in ReportedOutcome._fields)
    )
    told: dict[tuple[str, str], list[ReportedOutcome]] = {}
    for row in among(connection, query, columns.decision_id, decision_ids):
        cells: list[Any] = list(row)
        told.setdefault((cells[0], cells[1]), []).append(ReportedOutcome._make(cells[2:]))
    return told


def _told_of_shared(connection: sa.Connection, shared_ids: Iterable[str | None]) -> set[str]:
    columns = tables.outcomes.c
    query = sa.select(columns.decision_id).distinct()
    names = [name for name in shared_ids if name is not None]
    return {row.decision_id for row in among(connection, query, columns.shared_id, names)}
