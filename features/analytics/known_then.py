"""Builds the journeys of a past day as they were known then, whatever came in since.

Events and shown decisions count that had happened and had been received; an imported event has no
time of its own, and counts as received when it happened. Customers are those of the moment (see
`known_identities`). What cannot be brought back: customers who were erased since are missing, and
attributes and accounts are those that hold for the time by what is known now, as their history does
not tell when it became known.
"""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from features.analytics.build import EVENTS_N, BuiltFiles, write_pasts
from features.analytics.cut.customer_cutter import CustomerPasts
from features.analytics.cut.customer_facts import CustomerFacts
from features.analytics.cut.cutting import PastEvent, Shown
from features.analytics.cut.stored_pasts import known_pasts
from features.analytics.known_identities import KnownIdentities
from features.business.domain import Domain
from features.customers.attribute_history import versions_of_keys
from features.identity.relocation import relocate_all
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import select_in_batches
from features.progress import Progress, quiet
from features.states.stored_events import KNOWN_AT, events_in_fold_order

CUSTOMERS_AT_ONCE = 500
NICE = 10  # of a process of its own: who decides goes first

_EVENT, _CONTACT = tables.events.c, tables.contacts.c
_SHOWN_US = sa.type_coerce(_CONTACT.shown_at, sa.BigInteger)
_DECIDED_US = sa.type_coerce(
    sa.func.coalesce(tables.decisions.c.decided_at, _CONTACT.shown_at), sa.BigInteger
)
_EVENTS = events_in_fold_order(_EVENT.subject, _EVENT.event_id)
_SHOWN = (
    sa.select(_CONTACT.subject, _DECIDED_US, _SHOWN_US, _CONTACT.channel, _CONTACT.decision_id)
    .join_from(
        tables.contacts,
        tables.decisions,
        tables.decisions.c.decision_id == _CONTACT.decision_id,
        isouter=True,
    )
    .distinct()
)


class KnownThen(NamedTuple):
    """The files of a past day, and how many erasures were asked for since."""

    built: BuiltFiles
    erased: int


def build_known_then(
    ledger: Ledger, domain: Domain, folder: Path, at: datetime, progress: Progress = quiet
) -> KnownThen:
    """Build the journeys as of a past moment, as they were known then; see `build_journeys`.

    Parameters
    ----------
    folder
        Files of an earlier build in it are deleted.
    at : aware UTC
    """
    relocate_all(ledger)
    at_us = tables.micros(at)
    identities = ledger.read(lambda c: KnownIdentities(c, at_us))
    asked_since = sa.select(sa.func.count()).where(tables.erasures.c.asked_at > at)
    erased = ledger.read(lambda c: int(c.execute(asked_since).scalar_one()))
    pasts = _pasts(ledger, identities, at_us, progress)
    return KnownThen(write_pasts(ledger, domain, pasts, folder, at_us), erased)


def build_apart(
    ledger: Ledger, domain: Domain, folder: Path, at: datetime, within_s: float = math.inf
) -> int:
    """Build as `build_known_then` does, in a process of its own; the number of erasures since.

    A thread would hold up the decisions of its process.

    Raises
    ------
    CalledProcessError
        If the process failed; its error is in the log of the server.
    TimeoutError
        If it was ended, as it was not done in time.
    """
    command = [sys.executable, "-m", "features.analytics.known_then"]
    sent = pickle.dumps((ledger.url, domain, folder, at))
    most_s = None if within_s == math.inf else max(within_s, 0.0)
    try:
        done = subprocess.run(
            command, input=sent, stdout=subprocess.PIPE, check=True, timeout=most_s
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError("the build took too long") from error
    return int(done.stdout)


def _pasts(
    ledger: Ledger, identities: KnownIdentities, at_us: int, progress: Progress
) -> Iterator[CustomerPasts]:
    """Read those who have the same keys as then, and then all others, some clusters at a time."""
    others = {one for cluster in identities.clusters for one in cluster}
    total, done = ledger.read(lambda c: int(c.execute(EVENTS_N).scalar_one())), 0
    for past in known_pasts(ledger, at_us, others):
        progress("events known then", done, total)
        yield past
        done += len(past.events)
    some: list[str] = []
    for number, cluster in enumerate(identities.clusters, start=1):
        some += cluster
        if len(some) >= CUSTOMERS_AT_ONCE or number == len(identities.clusters):
            yield ledger.read(lambda c, some=some: _past(c, identities, some, at_us))  # type: ignore[misc]
            some = []
        progress("customers with other keys", number, len(identities.clusters))


def _past(
    connection: sa.Connection, identities: KnownIdentities, customers: Collection[str], at_us: int
) -> CustomerPasts:
    """Read what happened to some customers, and give it to those whose it was then."""
    found: list[tuple[str, str, str, int, str, str]] = []
    query = _EVENTS.where(at_us >= KNOWN_AT)
    for row in select_in_batches(connection, query, _EVENT.customer_id, customers):
        _, kind, channel, event_us, properties, subject, event_id = tuple[Any, ...](row)
        if event_us <= at_us:
            owner = identities.customer(subject, event_us)
            found.append((owner, kind, channel, event_us, properties, event_id))
    found.sort(key=itemgetter(0, 3, 5))
    shown: dict[str, list[tuple[int, str, str]]] = {}
    for row in select_in_batches(connection, _SHOWN, _CONTACT.customer_id, customers):
        subject, decided_us, shown_us, channel, decision_id = tuple[Any, ...](row)
        if shown_us <= at_us:
            owner = identities.customer(subject, decided_us)
            shown.setdefault(owner, []).append((shown_us, decision_id, channel))
    in_time: dict[str, Sequence[Shown]] = {
        owner: [(shown_us, channel) for shown_us, _, channel in sorted(own)]
        for owner, own in shown.items()
    }
    events: list[PastEvent] = [row[:5] for row in found]
    past = CustomerPasts(events, in_time, {})
    return past._replace(facts=_facts(connection, identities, past.customers))


def _facts(
    connection: sa.Connection, identities: KnownIdentities, customers: Sequence[str]
) -> dict[str, CustomerFacts]:
    """Read the attributes of all keys that a customer had, and the first account of these."""
    keys = {customer: identities.keys(customer) for customer in customers}
    versions = versions_of_keys(connection, keys)
    column = tables.customers.c.customer_id
    query = sa.select(column, tables.customers.c.account)
    named = [key for own in keys.values() for key in own]
    accounts = {
        row.customer_id: row.account for row in select_in_batches(connection, query, column, named)
    }
    return {
        customer: CustomerFacts(
            next((found for key in own if (found := accounts.get(key))), None), versions[customer]
        )
        for customer, own in keys.items()
    }


def _build_sent() -> None:
    os.nice(NICE)
    url, domain, folder, at = pickle.load(sys.stdin.buffer)
    ledger = Ledger(url)
    sys.stdout.write(str(build_known_then(ledger, domain, folder, at).erased))
    ledger.close()


if __name__ == "__main__":
    _build_sent()
