"""Computes rewards from the ledger: the decisions of a customer, summed by day and arm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.ledger import tables
from features.ledger.statements import Statement, as_json, texts_of
from features.outcomes.attribution import read_attribution, shown_actions
from features.outcomes.credit_rules import earned
from features.rewards.reward_rows import ARMS, DayRow, day_at, unpack_days

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
_BEGIN, _END = sa.bindparam("begin", type_=sa.BigInteger), sa.bindparam("end", type_=sa.BigInteger)
_READ = (_DECIDED.customer_id, _DECIDED.decision_id, _DECIDED.arm, _ACTIVATED_US, _WINDOW_US)
_WITHIN = (  # a decision that was shown later than it was made is found by the time of its showing
    (_DECIDED.activation.is_(None), _DECIDED_US >= _BEGIN, _DECIDED_US < _END),
    (_DECIDED.activation.is_not(None), _ACTIVATED_US >= _BEGIN, _ACTIVATED_US < _END),
)
_BOTH = sa.union_all(
    *(
        sa.select(*_READ).where(
            _DECIDED.customer_id.in_(sa.select(texts_of("customers").c.value)), *SERVED, *within
        )
        for within in _WITHIN
    )
)
_SHOWN_WITHIN = Statement(_BOTH)
_IDS = sa.select(texts_of("ids").c.value)
_SHOWN, _TOLD = tables.contacts.c, tables.outcomes.c
_ACTIONS = Statement(
    sa.select(_SHOWN.decision_id, _SHOWN.action_id).where(_SHOWN.decision_id.in_(_IDS))
)
_OUTCOMES = Statement(
    sa.select(_TOLD.decision_id, _TOLD.outcome).where(_TOLD.decision_id.in_(_IDS)).distinct()
)


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
    zone = catalog.clock.zone
    content = {
        # Days were those of UTC before they were those of the business.
        **({"zone": zone} if zone != "UTC" else {}),
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

    A decision belongs to the day on which it was shown, on the clock of the business, and to the
    customer who has its key now. Values, costs and rules of attribution are those of ``catalog``.

    Parameters
    ----------
    spans
        For each customer: spans that do not overlap.
    """
    shown = _shown_within(connection, spans)
    ids = as_json([one.decision_id for some in shown.values() for one in some])
    actions: dict[str, list[str]] = {}
    for decision_id, action_id in _ACTIONS.rows(connection, {"ids": ids}):
        actions.setdefault(decision_id, []).append(action_id)
    credited = _credited(connection, ids, catalog)
    costs = {name: action.cost for name, action in catalog.actions.items()}
    zone = catalog.clock.of_business
    return {
        customer_id: _summed(some, actions, credited, costs, zone)
        for customer_id, some in shown.items()
    }


def with_other_days(computed: ComputedRewards, stored: Any, days: set[int]) -> ComputedRewards:
    """Add the stored rows of a customer to those of some days, which were computed.

    Parameters
    ----------
    stored
        The columns days, window_ends and unknown_actions of `reward_days`.
    days
        The days that were computed.
    """
    packed, window_ends, unknown_actions = stored
    rows = unpack_days(packed, window_ends)
    unknown = {(day, name) for day, name in json.loads(unknown_actions)} if unknown_actions else ()
    return ComputedRewards(
        computed.rows + [row for row in rows if row.day not in days],
        computed.unknown_actions | {one for one in unknown if one[0] not in days},
    )


def _shown_within(
    connection: sa.Connection, spans: Mapping[str, Sequence[Span]]
) -> dict[str, list[_Shown]]:
    """The decisions that each customer was shown; one query for each span."""
    customers: dict[Span, list[str]] = {}
    for customer_id, some in spans.items():
        for span in some:
            customers.setdefault(span, []).append(customer_id)
    found: dict[str, list[_Shown]] = {customer_id: [] for customer_id in spans}
    for (begin, end), whose in customers.items():
        values = {"customers": as_json(whose), "begin": begin, "end": end}
        for customer_id, decision_id, arm, *times in _SHOWN_WITHIN.rows(connection, values):
            if arm in ARMS:
                found[customer_id].append(_Shown(decision_id, ARMS.index(arm), *times))
    return found


def _credited(connection: sa.Connection, ids: str, catalog: Catalog) -> dict[str, float]:
    """The credited value of each decision that has an outcome which may earn something."""
    earning = _earning(catalog)
    told = _OUTCOMES.rows(connection, {"ids": ids})
    reported = sorted({decision_id for decision_id, outcome in told if outcome in earning})
    if not reported:
        return {}
    shown = list(shown_actions(connection, reported))
    attribution = read_attribution(connection, shown, catalog)
    credited = dict.fromkeys(reported, 0.0)
    for action in attribution.actions:
        credited[action.shown.decision_id] += earned(action, attribution.shares, catalog)
    return credited


def _earning(catalog: Catalog) -> set[str]:
    """The outcomes by which an action may earn something."""
    listed = {name for action in catalog.actions.values() for name in action.outcomes}
    accepted = {name for name, outcome in catalog.outcomes.items() if outcome.acceptance}
    return listed | accepted


def _summed(
    shown: Iterable[_Shown],
    actions: Mapping[str, Sequence[str]],
    credited: Mapping[str, float],
    costs: Mapping[str, float],
    zone: tzinfo,
) -> ComputedRewards:
    by_day: dict[tuple[int, int], list[_Shown]] = {}
    for one in shown:
        by_day.setdefault((day_at(one.shown_us, zone), one.arm), []).append(one)
    rows, unknown = list[DayRow](), set[tuple[int, str]]()
    for (day, arm), some in by_day.items():
        some.sort(key=lambda one: one.shown_us)
        names = [name for one in some for name in actions.get(one.decision_id, ())]
        known = [costs[name] for name in names if name in costs]
        unknown |= {(day, name) for name in names if name not in costs}
        gains = sum(credited.get(one.decision_id, 0.0) for one in some)
        ends = tuple(one.window_us for one in some)
        rows.append(
            DayRow(day, arm, some[0].shown_us, some[-1].shown_us, gains, sum(known, 0.0), ends)
        )
    return ComputedRewards(rows, unknown)
