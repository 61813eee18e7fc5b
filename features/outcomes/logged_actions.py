"""Reads the actions that served decisions showed, with what was known and believed of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.business.decided_actions import read_windows, shown_beliefs
from features.ledger import tables
from features.ledger.columns import unpacked_float_rows, unpacked_json
from features.ledger.statements import Statement, as_json, in_batches, texts_of
from features.outcomes.attribution import shown_by
from features.outcomes.credit_rules import ShownAction


class _ShownDecision(NamedTuple):
    """The columns of a decision that are read here, in the order of `_SHOWN`."""

    decision_id: str
    action_id: str
    activated_at: datetime
    window_ends_at: datetime
    activation: str | None
    record: str | None
    channel: str
    features: Any  # compressed
    serial: int
    believed: bytes | None

    @classmethod
    def of(cls, *values: Any) -> _ShownDecision:
        """Convert the values of the driver."""
        one = cls(*values)
        record = one.record
        return one._replace(
            activated_at=tables.from_micros(values[2]),
            window_ends_at=tables.from_micros(values[3]),
            record=None if record is None else unpacked_json(record),
        )


# Not "WHERE served": SQLite would go through all decisions of the ledger by the index of `served`.
_SHOWN = Statement(
    sa.select(
        tables.decisions.c.served,
        *(tables.decisions.c[name] for name in _ShownDecision._fields),
    ).where(tables.decisions.c.decision_id.in_(sa.select(texts_of("ids").c.value)))
)


class LoggedAction(NamedTuple):
    """A shown action, with what the decision's record holds of its customer and its models.

    Attributes
    ----------
    row : shape (n_features,)
        The customer's features at the time of the decision.
    serial : int
        The number of decisions that the ledger held before this one.
    expert_predictions : list of float
        The acceptance that each expert of the bandit predicted; empty if it was not logged.
    believed : float
        The predicted acceptance, if the action is looked at; ``nan`` if it was not logged.
    """

    shown: ShownAction
    channel: str
    row: NDArray[np.float64]
    serial: int
    expert_predictions: Sequence[float]
    believed: float = np.nan


def read_logged_actions(
    connection: sa.Connection, decision_ids: Iterable[str], layout: str
) -> list[LoggedAction]:
    """Read the actions that served decisions have shown, in the order of the decisions' serials.

    A decision that was made with another layout of features is left out: its numbers stand for
    other features.
    """
    kept = list[tuple[_ShownDecision, Mapping[str, Any]]]()
    for ids in in_batches(decision_ids):
        for served, *values in _SHOWN.rows(connection, {"ids": as_json(ids)}):
            if not served:
                continue
            one = _ShownDecision.of(*values)
            record: Mapping[str, Any] = read_windows(one) if one.features is not None else {}
            if record.get("features_layout") == layout:
                kept.append((one, record))
    kept.sort(key=lambda pair: pair[0].serial)
    rows = unpacked_float_rows([bytes(one.features) for one, _ in kept])
    found = []
    for (one, record), row in zip(kept, rows, strict=True):
        beliefs = shown_beliefs(one, record)
        for shown in shown_by(one, record):
            believed, experts = beliefs[shown.action_id]
            found.append(LoggedAction(shown, one.channel, row, one.serial, experts, believed))
    return found
