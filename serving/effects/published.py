"""Published effect models: rows of the ledger, of which each worker loads the newest.

The number of a row is the version that decisions tell as `models.effects`. A decision keeps the
effects that were believed when it was made, so nobody needs an old row, and few are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from training.effects.effect_model import EffectModel

KEPT = 20  # rows: the last ones show how the effects have changed
_COLUMNS = tables.effect_models.c


class FittedEffects(NamedTuple):
    """An effect model to be published.

    Attributes
    ----------
    payload : bytes or None
        The bytes of the model; None: no effects could be fitted.
    note
        What is told about the model, such as the audit of its surrogate: JSON.
    labels : int
        The decisions that had been looked at again when the fit began.
    after : int
        The number of the newest effect model when the fit began.
    """

    payload: bytes | None
    note: Mapping[str, Any]
    labels: int
    after: int


class PublishedAt(NamedTuple):
    """Tells when an effect model was published; ``number`` 0: none was yet.

    Attributes
    ----------
    labels : int
        The decisions that had been looked at again when it was fitted.
    """

    number: int = 0
    labels: int = 0
    at: datetime | None = None


class PublishedEffects(NamedTuple):
    """A published effect model, and its number."""

    number: int
    model: EffectModel


def newest_effects(connection: sa.Connection, after: int = 0) -> PublishedEffects | None:
    """Read the newest effect model; None if there is none with a number above ``after``."""
    query = sa.select(_COLUMNS.number, _COLUMNS.payload).where(_COLUMNS.number > after)
    row = connection.execute(query.order_by(_COLUMNS.number.desc()).limit(1)).first()
    return None if row is None else PublishedEffects(row[0], EffectModel.from_bytes(bytes(row[1])))


def newest_published(connection: sa.Connection) -> PublishedAt:
    """Read when the newest effect model was published."""
    query = sa.select(_COLUMNS.number, _COLUMNS.labels, _COLUMNS.published_at)
    row = connection.execute(query.order_by(_COLUMNS.number.desc()).limit(1)).first()
    return PublishedAt() if row is None else PublishedAt(*row)


def newest_note(connection: sa.Connection) -> Mapping[str, Any] | None:
    """Read the note of the newest effect model; None if there is none."""
    query = sa.select(_COLUMNS.note).order_by(_COLUMNS.number.desc()).limit(1)
    stored = connection.execute(query).scalar()
    note: Mapping[str, Any] | None = None if stored is None else json.loads(stored)
    return note


def publish_effects(connection: sa.Connection, fitted: FittedEffects, now: datetime) -> int | None:
    """Write an effect model in a transaction of the writer, and delete the oldest ones.

    Returns
    -------
    int or None
        The number of the model; None if another process has published one since the fit began,
        and this one was not written.
    """
    if fitted.payload is None or newest_published(connection).number != fitted.after:
        return None
    row = {
        "published_at": now,
        "labels": fitted.labels,
        "payload": fitted.payload,
        "note": json.dumps(fitted.note),
    }
    written = sa.insert(tables.effect_models).values(row).returning(_COLUMNS.number)
    number: int = connection.execute(written).scalar_one()
    numbers = sa.select(_COLUMNS.number).order_by(_COLUMNS.number.desc()).limit(KEPT)
    oldest = connection.execute(numbers).scalars().all()[-1]
    connection.execute(sa.delete(tables.effect_models).where(_COLUMNS.number < oldest))
    return number
