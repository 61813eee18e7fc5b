"""Removes the records of old decisions and, if asked for, old events, in short transactions.

Of a decision, the row stays with customer, action, probability, arm and window, so caps, credit,
lift and timeline do not change. It cannot be repeated or explained any more, and the learner leaves
it out when it counts all credits again.

The value of deleted events stays in that of their customers (`rewards.pruned_events`).

Events that give or withdraw a consent always stay. So do the last login of each holder of a device,
and the event by which a customer left who is not back (`leaving`). The features of a customer whose
events were deleted are computed again from the events that are left, so they are the same in
serving and in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.business.decided_actions import shortened_record
from features.business.domain import Domain
from features.customers.profiles import all_accounts_of
from features.identity.links import resolve_each
from features.identity.logins import delete_old_logins
from features.journeys.leaving import back_events
from features.ledger import tables
from features.ledger.derived_tables import mark_journeys
from features.ledger.ledger import Ledger
from features.progress import Progress, quiet
from features.rewards.event_days import EventRules
from features.rewards.pruned_events import keep_pruned
from features.settings import Settings
from features.states.state_rows import request_refold
from features.store.free_space import Storage, measure_storage
from features.store.locks import file_lock

DONE_UNTIL = "records removed up to serial"  # keys of `meta`
DONE_AT = "retention last applied"
RECORDS_PER_STEP, EVENTS_PER_STEP = 100, 500  # in one transaction: some 10 ms
SCANNED_PER_STEP = 5_000  # decisions that are looked at for the next step
CUSTOMERS_PER_STEP = 1_000  # whose events are looked at for the next step
EVERY = timedelta(days=1)
_DECIDED, _EVENTS = tables.decisions.c, tables.events.c
# The bytes of what is removed of a decision, as they are stored.
_SIZE = sum(
    (
        sa.func.coalesce(sa.func.length(column), 0)
        for column in (_DECIDED.record, _DECIDED.answer, _DECIDED.features, _DECIDED.believed)
    ),
    sa.literal(0),
)
_WHOLE = _DECIDED.record.is_not(None) & _DECIDED.answer.is_not(None)


class Pruned(NamedTuple):
    """Numbers of decisions without their record and of deleted events, and their sizes."""

    records: int = 0
    record_bytes: int = 0
    events: int = 0
    event_bytes: int = 0


@dataclass(frozen=True)
class RetentionPolicy:
    """Applies the retention of the settings to a ledger."""

    ledger: Ledger
    domain: Domain
    settings: Settings

    def count(self, now: datetime) -> Pruned:
        """Count what `prune` would remove; reads it all, and writes nothing."""
        return self.ledger.read(lambda connection: self._count(connection, now))

    def is_due(self, now: datetime) -> bool:
        """Return whether retention was not applied in the last `EVERY`."""
        last = self.ledger.read(lambda connection: tables.get_meta(connection, DONE_AT))
        if last is None:
            return True
        return not now - EVERY < datetime.fromisoformat(last) <= now  # the clock may be set back

    def prune(
        self,
        now: datetime,
        report: Progress = quiet,
        after_step: Callable[[], bool] = lambda: True,
    ) -> Pruned:
        """Remove what is older than the settings allow.

        Parameters
        ----------
        after_step
            Called after each step, of one transaction at most; returns False to stop.
        """
        done = Pruned()
        total = self.count(now) if report is not quiet else done
        for step in self._steps(now):
            done = Pruned(*(a + b for a, b in zip(done, step, strict=True)))
            report("remove records", done.records, max(total.records, done.records))
            report("delete events", done.events, max(total.events, done.events))
            if not after_step():
                return done
        note = now.isoformat()
        self.ledger.write_now(lambda connection: tables.set_meta(connection, DONE_AT, note))
        return done

    def storage(self) -> Storage:
        """Measure the database."""
        return self.ledger.read(measure_storage)

    def _steps(self, now: datetime) -> Iterator[Pruned]:
        days = self.settings.retention_records_days
        while days is not None:
            old = partial(_records_to_remove, before=now - timedelta(days=days), now=now)
            rows, until, last = self.ledger.read(old)
            if until is None:
                break
            yield self.ledger.write_now(partial(_remove_records, rows=rows, until=until))
            if last:
                break
        if self.settings.retention_events_days is not None:
            yield from self._event_steps(now, self.settings.retention_events_days)

    def _event_steps(self, now: datetime, days: float) -> Iterator[Pruned]:
        before = now - timedelta(days=days)
        following: str | None = ""
        while following is not None:
            ids, following = self.ledger.read(
                partial(self._old_events_from, before=before, customer=following)
            )
            rules = EventRules.of(self.domain)
            delete = partial(_delete_events, rules=rules, ids=ids, before=before, now=now)
            yield self.ledger.write_now(delete) if ids else Pruned()

    def _old_events_from(
        self, connection: sa.Connection, before: datetime, customer: str
    ) -> tuple[list[str], str | None]:
        """Find the next events to delete, and the customer with whom to go on.

        Two searches in the primary key for each customer: all events need not be read.
        """
        ids: list[str] = []
        # The oldest first: nobody's coming back is deleted while the leaving before it stays.
        old = sa.select(_EVENTS.event_id).where(*self._are_old(before))
        old = old.order_by(_EVENTS.occurred_at)
        for _ in range(CUSTOMERS_PER_STEP):
            mine = old.where(_EVENTS.customer_id == customer).limit(EVENTS_PER_STEP - len(ids))
            ids += connection.execute(mine).scalars()
            if len(ids) == EVENTS_PER_STEP:
                return ids, customer
            query = sa.select(sa.func.min(_EVENTS.customer_id))
            following = connection.execute(query.where(_EVENTS.customer_id > customer)).scalar()
            if following is None:
                return ids, None
            customer = following
        return ids, customer

    def _are_old(self, before: datetime) -> Sequence[sa.ColumnElement[bool]]:
        consents = [name for name, event in self.domain.events.items() if event.consent]
        old = [_EVENTS.occurred_at < before, _EVENTS.type.not_in(consents)]
        return [*old, *([~_still_left(self.domain)] if self.domain.leaving_event else [])]

    def _count(self, connection: sa.Connection, now: datetime) -> Pruned:
        length, total, found = sa.func.length, sa.func.sum, Pruned()
        days = self.settings.retention_records_days
        if days is not None:
            query = sa.select(sa.func.count(), total(_SIZE)).where(
                _WHOLE, *_old_decisions(connection, now - timedelta(days=days), now)
            )
            count, size = connection.execute(query).one()
            found = found._replace(records=count, record_bytes=int(size or 0))
        days = self.settings.retention_events_days
        if days is not None:
            query = sa.select(sa.func.count(), total(length(_EVENTS.properties)))
            query = query.where(*self._are_old(now - timedelta(days=days)))
            count, size = connection.execute(query).one()
            found = found._replace(events=count, event_bytes=int(size or 0))
        return found


def _still_left(domain: Domain) -> sa.ColumnElement[bool]:
    """Choose the events by which customers left who are not back since."""
    later = tables.events.alias().c
    is_back = sa.exists().where(
        later.customer_id == _EVENTS.customer_id,
        later.occurred_at >= _EVENTS.occurred_at,
        later.type.in_(back_events(domain)),
    )
    return (_EVENTS.type == domain.leaving_event) & ~is_back


def pruning_lock(home: Path) -> AbstractContextManager[None]:
    """Hold the lock of retention: one process of a home applies it at a time.

    Raises
    ------
    InvalidSetting
        If another process holds it.
    """
    return file_lock(home / "pruning.lock", wait=False)


def _old_decisions(
    connection: sa.Connection, before: datetime, now: datetime
) -> Sequence[sa.ColumnElement[bool]]:
    newer = _DECIDED.serial > int(tables.get_meta(connection, DONE_UNTIL) or 0)
    # Until a window closes, the learner needs the features. The first young decision stops `prune`.
    young = (_DECIDED.decided_at >= before) | (_DECIDED.window_ends_at > now)
    query = sa.select(_DECIDED.serial).where(_WHOLE, newer, young)
    first = connection.execute(query.order_by(_DECIDED.serial).limit(1)).scalar()
    return [newer] if first is None else [newer, _DECIDED.serial < first]


def _records_to_remove(
    connection: sa.Connection, before: datetime, now: datetime
) -> tuple[list[dict[str, Any]], int | None, bool]:
    """Find the next records to remove, in the order in which decisions were appended.

    Returns
    -------
    rows, until, last
        ``until`` is the serial up to which nothing else is to be removed; None if there is
        nothing to do. ``last``: the next decision is too young.
    """
    done_until = int(tables.get_meta(connection, DONE_UNTIL) or 0)
    query = sa.select(
        _DECIDED.serial, _DECIDED.decided_at, _DECIDED.window_ends_at, _WHOLE.label("whole")
    )
    query = query.where(_DECIDED.serial > done_until).order_by(_DECIDED.serial)
    serials: list[int] = []
    until: int | None = None
    last = True
    for row in connection.execute(query.limit(SCANNED_PER_STEP)):
        young = row.decided_at >= before or row.window_ends_at > now
        if row.whole and young:
            last = True
            break
        serials += [row.serial] * row.whole
        until, last = row.serial, False
        if len(serials) == RECORDS_PER_STEP:
            break
    found = sa.select(_DECIDED.serial, _DECIDED.record, _SIZE)
    rows = [
        {"number": serial, "record": shortened_record(record), "size": size}
        for serial, record, size in connection.execute(found.where(_DECIDED.serial.in_(serials)))
    ]
    return rows, until, last


def _remove_records(
    connection: sa.Connection, rows: Sequence[dict[str, Any]], until: int
) -> Pruned:
    if rows:
        update = sa.update(tables.decisions).where(_DECIDED.serial == sa.bindparam("number"))
        update = update.values(
            record=sa.bindparam("record"), answer=None, features=None, believed=None
        )
        connection.execute(update, list(rows))
        later = tables.later_features.c.serial
        gone = sa.delete(tables.later_features).where(later == sa.bindparam("number"))
        connection.execute(gone, [{"number": row["number"]} for row in rows])
    tables.set_meta(connection, DONE_UNTIL, str(until))
    return Pruned(records=len(rows), record_bytes=sum(row["size"] for row in rows))


def _delete_events(
    connection: sa.Connection,
    rules: EventRules,
    ids: Sequence[str],
    before: datetime,
    now: datetime,
) -> Pruned:
    mine = _EVENTS.event_id.in_(ids)
    query = sa.select(
        _EVENTS.subject, sa.func.sum(sa.func.length(_EVENTS.properties)), sa.func.count()
    )
    found = connection.execute(query.where(mine).group_by(_EVENTS.subject)).all()
    # An event that waits to be moved (`relocation`) is stored under another customer than its own.
    subjects = {row.subject for row in found}
    owners = resolve_each(connection, subjects)
    customers = sorted({owners.get(one, one) for one in subjects})
    keys = [*customers, *sorted(all_accounts_of(connection, customers))]
    keep_pruned(connection, rules, ids)
    connection.execute(sa.delete(tables.events).where(mine))
    delete_old_logins(connection, subjects, tables.micros(before))
    mark_journeys(connection, customers)
    request_refold(connection, keys, now)
    return Pruned(events=sum(row[2] for row in found), event_bytes=sum(row[1] for row in found))
