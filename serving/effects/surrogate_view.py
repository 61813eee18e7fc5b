"""Tells the audit of the surrogate of leaving, as it stands in the note of the newest effect model.

`training/effects/surrogate_audit.py` says what is compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from training.effects.surrogate_audit import AuditRow, audit_note, audit_rows

_COLUMNS = tables.effect_models.c


class SurrogateView(NamedTuple):
    """The audit of the newest effect model.

    Attributes
    ----------
    number : int
        Of the effect model, as decisions tell it in ``models.effects``.
    fitted_at : datetime
    matured : int
        Decisions that are old enough to tell how long an effect lasts.
    duration_days, prior_days : float
        How long an action changes the rate of leaving: as learned, and before.
    rows : sequence of AuditRow
        One for each family of actions of which something was drawn by chance.
    """

    number: int
    fitted_at: datetime
    matured: int
    duration_days: float
    prior_days: float
    rows: Sequence[AuditRow]

    def to_json(self) -> dict[str, Any]:
        """The audit as JSON; an interval without end is null."""
        parts = {**self._asdict(), "fitted_at": self.fitted_at.isoformat()}
        return {**parts, "rows": audit_note(self.rows)}


def read_surrogate_view(connection: sa.Connection) -> SurrogateView | None:
    """Read the audit; None: there is no effect model yet, or nobody leaves in this business."""
    query = sa.select(_COLUMNS.number, _COLUMNS.published_at, _COLUMNS.note)
    row = connection.execute(query.order_by(_COLUMNS.number.desc()).limit(1)).first()
    note = {} if row is None else json.loads(row.note)
    if row is None or "audit" not in note:
        return None
    return SurrogateView(
        number=row.number,
        fitted_at=row.published_at,
        matured=note["matured"],
        duration_days=note["duration_days"],
        prior_days=note["prior_days"],
        rows=audit_rows(note["audit"]),
    )


def verdict(row: AuditRow) -> str:
    """Say in a few words what the audit of a family has found."""
    if row.disagrees:
        return "disagrees: not trusted"
    return "agrees so far" if row.high < float("inf") else "too few have left"


def distrust_sentence(family: str) -> str:
    """Say in `degraded` that the surrogate is wrong for a family of actions."""
    return (
        f"effects: the features some days later do not tell how actions of {family} change "
        "leaving; only who really left counts for them; see 'nba audit-surrogate'"
    )
