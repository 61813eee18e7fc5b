"""Computes rewards from the ledger: the decisions of a customer, summed by day and arm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.statements import Statement, select_in_batches
from features.outcomes.attribution import read_attribution, shown_actions
from features.outcomes.credit_rules import earned
from features.outcomes.reward_rows import ARMS, DayRow

DAY_US = 86_400_000_000
EVER_US = 1 << 62  # later than every time of the ledger, in microseconds since 1970
Span = tuple[int, int]  # from a time on and before another, in microseconds since 1970
EVER: Span = (-EVER_US, EVER_US)

_DECIDED = tables.decisions.c
_DECIDED_US, _ACTIVATED_US, _WINDOW_US = (
    sa.type_coerce(column, sa.BigInteger)
    for column in (_DECIDED.decided_at, _DECIDED.activated_at, _DECIDED.window_ends_at)
)
# Not simply "served": with that the database would use the index on windows, and read all rows.
SERVED = [_DECIDED.served.is_not(sa.false()), _DECIDED.arm.is_not(None)]
_OF_CUSTOMER = sa.select(_DECIDED.decision_id, _DECIDED.arm, _ACTIVATED_US, _WINDOW_US).where(
    _DECIDED.customer_id == sa.bindparam("customer", type_=sa.Text), *SERVED
)
_BEGIN, _END = sa.bindparam("begin", type_=sa.BigInteger), sa.bindparam("end", type_=sa.BigInteger)
_AT_ONCE = _OF_CUSTOMER.where(
    _DECIDED.activation.is_(None), _DECIDED_US >= _BEGIN, _DECIDED_US < _END
)
_LATER = _OF_CUSTOMER.where(
    _DECIDED.activation.is_not(None), _ACTIVATED_US >= _BEGIN, _ACTIVATED_US < _END
)
_SHOWN_WITHIN = Statement(sa.union_all(_AT_ONCE, _LATER))


class ComputedRewards(NamedTuple):
    """The rows of a customer, and the actions that the catalogue does not have, with their days."""

    rows: list[DayRow]
    unknown_actions: set[tuple[int, str]]


class _Shown(NamedTuple):
    """A decision that was shown."""

    decision_id: str
    arm: int
    shown_us: int
    window_us: int


def rules_fingerprint(catalog: Catalog) -> str:
    """Hash of the part of a catalogue that rewards depend on, and of the arms."""
    content = {
        "arms": ARMS,
        "attribution": catalog.attribution,
        "outcomes": {name: one.acceptance for name, one in catalog.outcomes.items()},
        "actions": {
            name: [
                one.value,
                one.cost,
                {key: known.model_dump(mode="json") for key, known in one.outcomes.items()},
            ]
            for name, one in catalog.actions.items()
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def compute_rewards(
    connection: sa.Connection, catalog: Catalog, spans: Mapping[str, Sequence[Span]]
) -> dict[str, ComputedRewards]:
    """Sum the rewards of the decisions that customers were shown within some spans of time.

    A decision belongs to the day on which it was shown, and to the customer who has its key now.
    Values, costs and rules of attribution are those of ``catalog``.

    Parameters
    ----------
    spans
        For each customer: spans that do not overlap.
    """
    shown = {
        customer_id: [one for span in some for one in _shown_within(connection, customer_id, span)]
        for customer_id, some in spans.items()
    }
    decision_ids = [one.decision_id for some in shown.values() for one in some]
    actions = _actions_of(connection, decision_ids)
    credited = _credited(connection, decision_ids, catalog)
    return {
        customer_id: _summed(some, actions, credited, catalog)
        for customer_id, some in shown.items()
    }


def _shown_within(connection: sa.Connection, customer_id: str, span: Span) -> list[_Shown]:
    values = {"customer": customer_id, "begin": span[0], "end": span[1]}
    return [
        _Shown(decision_id, ARMS.index(arm), shown_us, window_us)
        for decision_id, arm, shown_us, window_us in _SHOWN_WITHIN.rows(connection, values)
        if arm in ARMS
    ]


def _actions_of(connection: sa.Connection, decision_ids: Iterable[str]) -> dict[str, list[str]]:
    """The actions that each decision showed; none for one that showed nothing."""
    columns = tables.contacts.c
    query = sa.select(columns.decision_id, columns.action_id)
    found: dict[str, list[str]] = {}
    for row in select_in_batches(connection, query, columns.decision_id, decision_ids):
        found.setdefault(row.decision_id, []).append(row.action_id)
    return found


def _credited(
    connection: sa.Connection, decision_ids: Iterable[str], catalog: Catalog
) -> dict[str, float]:
    """The credited value of each decision that has an outcome which may earn something."""
    columns = tables.outcomes.c
    query = sa.select(columns.decision_id).where(columns.outcome.in_(_earning(catalog)))
    found = select_in_batches(connection, query, columns.decision_id, decision_ids)
    reported = sorted({row.decision_id for row in found})
    if not reported:
        return {}
    shown = list(shown_actions(connection, reported))
    attribution = read_attribution(connection, shown, catalog)
    credited = dict.fromkeys(reported, 0.0)
    for action in attribution.actions:
        credited[action.shown.decision_id] += earned(action, attribution.shares, catalog)
    return credited


def _earning(catalog: Catalog) -> list[str]:
    """The outcomes by which an action may earn something."""
    listed = {name for action in catalog.actions.values() for name in action.outcomes}
    accepted = {name for name, outcome in catalog.outcomes.items() if outcome.acceptance}
    return sorted(listed | accepted)


def _summed(
    shown: Iterable[_Shown],
    actions: Mapping[str, Sequence[str]],
    credited: Mapping[str, float],
    catalog: Catalog,
) -> ComputedRewards:
    by_day: dict[tuple[int, int], list[_Shown]] = {}
    for one in shown:
        by_day.setdefault((one.shown_us // DAY_US, one.arm), []).append(one)
    rows, unknown = list[DayRow](), set[tuple[int, str]]()
    for (day, arm), some in by_day.items():
        some.sort(key=lambda one: one.shown_us)
        names = [name for one in some for name in actions.get(one.decision_id, ())]
        known = [catalog.actions[name].cost for name in names if name in catalog.actions]
        unknown |= {(day, name) for name in names if name not in catalog.actions}
        gains = sum(credited.get(one.decision_id, 0.0) for one in some)
        ends = tuple(one.window_us for one in some)
        rows.append(
            DayRow(day, arm, some[0].shown_us, some[-1].shown_us, gains, sum(known, 0.0), ends)
        )
    return ComputedRewards(rows, unknown)
