"""Writes journey states from the ledger to the online store, while it holds the ledger's lock.

So two workers cannot overwrite a newer state with an older one. Every state is written from a row
that was committed by an earlier transaction: a transaction that fails could not take back what is
online. `GroupCommit` therefore runs these units of work before the others of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import sqlalchemy as sa

from features.customers.profiles import attributes_of_each
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.ledger.statements import as_json
from features.states.checkpoints import unpacked_numbers
from features.states.journey_states import JourneyStates
from features.states.refolding import CannotFold, Refold
from features.states.set_aside import set_aside
from features.states.state_rows import OF_KEYS

STATES_PER_WRITE = 50  # states that one transaction writes to the online store: 20 ms
_COLUMNS = tables.journey_states.c
_WAITING_OF = sa.select(tables.journey_states).where(OF_KEYS, tables.unpublished)
_WAITING = (
    sa.select(_COLUMNS.customer_id)
    .where(tables.unpublished, _COLUMNS.problem.is_(None))
    .limit(STATES_PER_WRITE)
)
_MARK_PUBLISHED = (
    sa.update(tables.journey_states).where(OF_KEYS).values(online=True, profile_online=True)
)


class Unpublished(NamedTuple):
    """The customers and accounts, of those asked for, that could not be published.

    Attributes
    ----------
    unfolded : list of str
        Their state must be folded first.
    problems : dict
        They are set aside; with the reason as a sentence.
    """

    unfolded: list[str]
    problems: dict[str, str]


class OnlineStore(Protocol):
    """The methods of the feature store that are used here."""

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None: ...
    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None: ...


def publish_states(
    connection: sa.Connection, online: OnlineStore, keys: Sequence[str], now: datetime
) -> Unpublished:
    """Write the waiting states of some customers and accounts to the online store.

    The transaction must not have changed states before.

    Parameters
    ----------
    keys
        At most `STATES_PER_WRITE`; those that do not wait are left out.
    """
    rows = list(connection.execute(_WAITING_OF, {"keys": as_json(keys)}))
    ready = [row for row in rows if row.state is not None and row.problem is None]
    if ready:
        online.write_packed(
            [row.customer_id for row in ready],
            [unpacked_numbers(row.state) for row in ready],
            [row.last_at or now for row in ready],
        )
        changed = [row.customer_id for row in ready if not row.profile_online]
        if changed:
            online.write_profiles(attributes_of_each(connection, changed), now)
        connection.execute(_MARK_PUBLISHED, {"keys": as_json([row.customer_id for row in ready])})
    return Unpublished(
        [row.customer_id for row in rows if row.state is None and row.problem is None],
        {row.customer_id: row.problem for row in rows if row.problem is not None},
    )


def waiting_keys(connection: sa.Connection) -> list[str]:
    """Find customers and accounts whose states wait, at most `STATES_PER_WRITE`."""
    return list(connection.execute(_WAITING).scalars())


def publish_all(ledger: Ledger, online: OnlineStore, states: JourneyStates, now: datetime) -> None:
    """Write all waiting states, in one transaction for some of them; for `nba build`."""
    while keys := ledger.read(waiting_keys):

        def put(connection: sa.Connection, keys: list[str] = keys) -> list[str]:
            return publish_states(connection, online, keys, now).unfolded

        for key in ledger.write_now(put):
            refold_now(ledger, states, key)


def refold_now(ledger: Ledger, states: JourneyStates, key: str) -> None:
    """Fold the waiting state of one customer or account; the caller waits for all its events."""
    done = False
    while not done:
        refold = Refold(ledger, states.fold, key)
        error = fold_steps(ledger, refold)
        done = ledger.write_now(lambda c, one=refold, e=error: finish(c, states, key, one, e))  # type: ignore[misc]


def fold_steps(ledger: Ledger, refold: Refold) -> CannotFold | None:
    """Run the steps of a refold; return the error of an event that cannot be folded.

    It stops early if the past has changed meanwhile; `finish` then says that the state waits.
    """
    try:
        while refold.step():
            if refold.is_due:
                if not ledger.write_now(refold.commit):
                    break
                refold.go_on()
    except CannotFold as error:
        return error
    return None


def finish(
    connection: sa.Connection,
    states: JourneyStates,
    key: str,
    refold: Refold,
    error: CannotFold | None,
) -> bool:
    """Commit a refold and fold the events since; return False if too many came meanwhile.

    The customer of a refold that ended with ``error`` is set aside, unless the past has changed.
    """
    if error is not None and refold.is_current(connection):
        set_aside(connection, key, str(error))
        return True
    refold.commit(connection)
    return states.fold_waiting(connection, key)
