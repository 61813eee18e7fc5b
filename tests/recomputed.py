"""Recomputes rewards and event values from all rows of the ledger, for comparison with the sums."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.journeys.leaving import back_events
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.attribution import DECISION_COLUMNS, read_attribution, shown_by
from features.outcomes.credit_rules import reward
from features.rewards.met_customers import TWO_ARMS
from features.rewards.reward_rows import ARMS
from features.rewards.rewards import Rewards

DAY, FIRST = timedelta(days=1), tables.EPOCH.toordinal()


def recomputed_rewards(
    ledger: Ledger,
    catalog: Catalog,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[tuple[str, str, int], tuple[int, int, float]]:
    """Decisions, open decisions and reward, by customer, arm and day of showing."""

    def read(connection: sa.Connection) -> tuple[list[Any], list[float]]:
        columns = tables.decisions.c
        query = sa.select(*DECISION_COLUMNS, columns.customer_id, columns.arm)
        rows = connection.execute(query.where(columns.served, columns.arm.is_not(None))).all()
        rows = [row for row in rows if _within(row.activated_at, since, until)]
        shown = [one for row in rows for one in shown_by(row)]
        found = read_attribution(connection, shown, catalog)
        earned: dict[str, float] = {row.decision_id: 0.0 for row in rows}
        for action in found.actions:
            earned[action.shown.decision_id] += reward(action, found.shares, catalog)
        return rows, list(earned.values())

    rows, earned = ledger.read(read)
    zone = catalog.clock.of_business
    sums: dict[tuple[str, str, int], tuple[int, int, float]] = {}
    for row, gain in zip(rows, earned, strict=True):
        key = (row.customer_id, row.arm, row.activated_at.astimezone(zone).toordinal() - FIRST)
        decisions, still, total = sums.get(key, (0, 0, 0.0))
        sums[key] = decisions + 1, still + (row.window_ends_at > now), total + gain
    return sums


def as_sums(found: Rewards) -> dict[tuple[str, str, int], tuple[int, int, float]]:
    """The table of `rewards` in the form of `recomputed_rewards`."""
    columns = [column.tolist() for column in found.table]
    keys = list(zip(*columns[:3], strict=True))
    assert keys == sorted(set(keys)), "rows are once each, in the order of customers and days"
    return {
        (found.customers[customer], ARMS[arm], day): (decisions, still, reward)
        for customer, day, arm, decisions, still, reward in zip(*columns, strict=True)
    }


def recomputed_event_days(
    ledger: Ledger, domain: Domain
) -> dict[tuple[str, int], tuple[int, float]]:
    """Leaving and coming back, and the margin of events, by customer and day."""
    shares = domain.objective.shares(domain.events)
    query = sa.select(tables.events).order_by(tables.events.c.occurred_at)
    rows = ledger.read(lambda connection: connection.execute(query).all())
    found: dict[tuple[str, int], tuple[int, float]] = {}

    def add(customer_id: str, at: datetime, left: int, value: float) -> None:
        key = (customer_id, (at - tables.EPOCH) // DAY)
        before = found.get(key, (0, 0.0))
        found[key] = before[0] + left, before[1] + value

    for row in rows:
        properties = json.loads(row.properties)
        for name, share in shares.get(row.type, {}).items():
            add(row.customer_id, row.occurred_at, 0, share * properties.get(name, 0.0))
    if domain.churn:
        for customer_id in {row.customer_id for row in rows}:
            mine = [row for row in rows if row.customer_id == customer_id]
            for at, left in _leaving(mine, domain):
                add(customer_id, at, left, 0.0)
    return {key: values for key, values in found.items() if any(values)}


def recomputed_met(ledger: Ledger) -> dict[str, datetime]:
    """The time at which each customer was first met, from all its decisions."""
    decided, met = tables.decisions.c, dict[str, datetime]()
    query = sa.select(decided.customer_id, decided.decided_at, decided.serial, decided.arm)
    rows = ledger.read(lambda connection: connection.execute(query).all())
    first = int(ledger.read(lambda connection: tables.get_meta(connection, TWO_ARMS)) or 0)
    for row in rows:
        if row.serial > first and row.arm is not None:
            met[row.customer_id] = min(met.get(row.customer_id, row.decided_at), row.decided_at)
    return met


def recomputed_values(
    ledger: Ledger, domain: Domain, catalog: Catalog, now: datetime
) -> dict[tuple[str, int], tuple[float, float, int]]:
    """Margin, cost and leaving by customer and day, of all who were met, from that day on."""
    met, found = recomputed_met(ledger), dict[tuple[str, int], tuple[float, float, int]]()
    last = (now - tables.EPOCH) // DAY

    def add(customer_id: str, day: int, *values: Any) -> None:
        if day <= last:
            before = found.get((customer_id, day), (0.0, 0.0, 0))
            added = tuple(a + b for a, b in zip(before, values, strict=True))
            found[customer_id, day] = added

    for (customer_id, day), (left, value) in recomputed_event_days(ledger, domain).items():
        if customer_id in met and day >= (met[customer_id] - tables.EPOCH) // DAY:
            add(customer_id, day, value, 0.0, left)
    decided, shown = tables.decisions.c, tables.contacts.c
    query = sa.select(decided.customer_id, decided.activated_at, shown.action_id).join_from(
        tables.decisions, tables.contacts, decided.decision_id == shown.decision_id
    )
    served = query.where(decided.served, decided.arm.is_not(None))
    for row in ledger.read(lambda connection: connection.execute(served).all()):
        day = (row.activated_at - tables.EPOCH) // DAY
        action = catalog.actions.get(row.action_id)
        if row.customer_id in met and day >= (met[row.customer_id] - tables.EPOCH) // DAY:
            add(row.customer_id, day, 0.0, action.cost if action else 0.0, 0)
    return {key: values for key, values in found.items() if any(values)}


def _leaving(rows: list[Any], domain: Domain) -> Iterable[tuple[datetime, int]]:
    """The moments at which one customer is gone, and is back; asked of each moment by itself."""
    assert domain.churn
    left = [row.occurred_at for row in rows if row.type == domain.churn.event]
    if domain.churn.silent_days is not None:
        silent = timedelta(days=domain.churn.silent_days)
        back, left = left, [at + silent for at in left]
    else:
        back = [row.occurred_at for row in rows if row.type in back_events(domain)]

    def is_gone(at: datetime) -> bool:
        last = max((one for one in left if one <= at), default=None)
        if domain.churn and domain.churn.silent_days is not None:
            return last is not None and not any(last - silent < one <= at for one in back)
        return last is not None and not any(last <= one <= at for one in back)

    gone = False
    for at in sorted({*left, *back}):
        if is_gone(at) != gone:
            gone = not gone
            yield at, 1 if gone else -1


def _within(at: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or at >= since) and (until is None or at < until)
