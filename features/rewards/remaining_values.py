"""Reads the remaining value of customers: what each would take along by leaving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features.business.experiment.objective import RemainingValue
from features.customers.attribute_history import attribute_versions, attributes_at
from features.journeys.events import is_amount
from features.ledger import tables
from features.ledger.statements import Statement

_MET, _KNOWN, _CHANGED = tables.met_customers.c, tables.customers.c, tables.attribute_changes.c
_NAME = sa.bindparam("name", type_=sa.Text)
# Most customers have one key and one value: theirs need not be put together.
_PLAIN = Statement(
    sa.select(_MET.customer_id, _KNOWN.attributes)
    .join_from(tables.met_customers, tables.customers, _KNOWN.customer_id == _MET.customer_id)
    .where(
        ~sa.exists().where(tables.identities.c.key == _MET.customer_id),
        ~sa.exists().where(_CHANGED.customer_id == _MET.customer_id, _CHANGED.name == _NAME),
    )
)


def remaining_values(
    connection: sa.Connection,
    rule: RemainingValue,
    index: Mapping[str, int],
    met_us: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Read the remaining values of all customers who were met.

    An attribute counts as it was when the customer was met: what the policy changes afterwards
    shall not change what it is judged by.

    Parameters
    ----------
    index
        The customers who were met, each with its position.
    met_us : shape (n_customers,)
        When they were met, in microseconds since 1970.

    Returns
    -------
    shape (n_customers,)
        In the domain's currency, none below 0.
    """
    found = np.full(len(index), rule.otherwise)
    if rule.attribute is None:
        return found
    known: dict[str, Any] = {}
    for customer_id, attributes in _PLAIN.rows(connection, {"name": rule.attribute}):
        if customer_id in index:
            known[customer_id] = from_json(attributes).get(rule.attribute)
    others = [customer_id for customer_id in index if customer_id not in known]
    for customer_id, versions in attribute_versions(connection, others).items():
        at_us = int(met_us[index[customer_id]])
        known[customer_id] = attributes_at(versions, at_us).get(rule.attribute)
    for customer_id, value in known.items():
        number = _number(value)
        if number is not None:
            found[index[customer_id]] = max(number * rule.times, 0.0)
    return found


def remaining_value(rule: RemainingValue, attributes: Mapping[str, Any]) -> float:
    """Read the remaining value of one customer, in the domain's currency.

    Parameters
    ----------
    attributes
        Those of the customer now.
    """
    known = None if rule.attribute is None else _number(attributes.get(rule.attribute))
    return rule.otherwise if known is None else max(known * rule.times, 0.0)


def _number(value: Any) -> float | None:
    """Read a stored value; None if it is unknown, or of a time when it was no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if is_amount(number) else None
