"""Folds customers anew whose past has changed: merged, split, or a device changed hands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from features.customers.profiles import ACCOUNT, accounts_of, update_account_members
from features.identity.links import Merge, resolve_each, restated_by
from features.identity.reassignment import Reassignment
from features.journeys.events import Event
from features.ledger.tables import micros
from features.states.checkpoints import (
    delete_all_checkpoints,
    delete_checkpoints,
    merge_checkpoints,
)
from features.states.journey_states import JourneyStates
from features.states.state_rows import delete_states


@dataclass(frozen=True)
class Restating:
    """Folds customers anew, and their accounts, in the transaction that changed their past.

    Parameters
    ----------
    with_accounts
        Whether the business has accounts.
    """

    states: JourneyStates
    with_accounts: bool

    def after_changes(
        self,
        connection: sa.Connection,
        merges: Sequence[Merge],
        reassigned: Sequence[Reassignment],
        new_events: Mapping[str, list[Event]],
        now: datetime,
    ) -> set[str]:
        """Fold customers who were merged, or whose events went to another customer.

        Parameters
        ----------
        new_events
            By customer, events that came with the change.

        Returns
        -------
        set of str
            The customers and accounts that were folded.
        """
        for merge in merges:
            if merge.loser_had_data:
                survivor = merge.survivor, merge.survivor_first_at
                merge_checkpoints(connection, survivor, (merge.loser, merge.loser_first_at))
        moved = self._reassigned(connection, reassigned)
        restated = restated_by(merges) | moved
        accounts = self._change_accounts(connection, merges)
        delete_states(connection, {merge.loser for merge in merges} - restated)
        if restated:
            restated |= accounts
            for key, new in self.add_accounts(connection, new_events).items():
                if key in restated:
                    delete_checkpoints(connection, key, min(micros(one.occurred_at) for one in new))
            self.states.restate(connection, sorted(restated), now)
        return restated

    def after_split(
        self,
        connection: sa.Connection,
        before: set[str],
        parts: Iterable[str],
        reassigned: Sequence[Reassignment],
        now: datetime,
    ) -> set[str]:
        """Fold the customers into whom others were split, or whose events went to another customer.

        Parameters
        ----------
        before
            The customers before the split, and their accounts.
        parts
            The customers after the split; none if nobody was split.

        Returns
        -------
        set of str
            The customers and accounts that were folded.
        """
        customers = {*parts}
        restated = self._reassigned(connection, reassigned)
        if customers:
            accounts = {one for one in before if one.startswith(ACCOUNT)}
            people = before - accounts
            if self.with_accounts:
                update_account_members(connection, people | customers)
            delete_states(connection, people - customers)
            restated |= customers | accounts | self.accounts_of(connection, customers)
            delete_all_checkpoints(connection, restated)
        if restated:
            self.states.restate(connection, sorted(restated), now)
        return restated

    def add_accounts(
        self, connection: sa.Connection, events: Mapping[str, list[Event]]
    ) -> dict[str, list[Event]]:
        """Add the events of each account to those of the customers, in the customers' order."""
        found, accounts = dict(events), self._accounts(connection, events)
        for customer_id, some in events.items():
            if account := accounts.get(customer_id):
                found[account] = [*found.get(account, []), *some]
        return found

    def accounts_of(self, connection: sa.Connection, customers: Iterable[str]) -> set[str]:
        """Find the account keys of some customers; none if the business has no accounts."""
        return {*self._accounts(connection, customers).values()}

    def _reassigned(
        self, connection: sa.Connection, reassigned: Sequence[Reassignment]
    ) -> set[str]:
        """Delete checkpoints of customers and accounts whose events changed; return their keys."""
        customers = {one for done in reassigned for one in (done.source, done.target)}
        if self.with_accounts:
            update_account_members(connection, customers)
        changed: set[str] = set()
        for done in reassigned:
            if done.first_at is not None:
                pair = {done.source, done.target}
                for key in pair | self.accounts_of(connection, pair):
                    delete_checkpoints(connection, key, micros(done.first_at))
                    changed.add(key)
        return changed

    def _accounts(self, connection: sa.Connection, customers: Iterable[str]) -> dict[str, str]:
        return accounts_of(connection, list(customers)) if self.with_accounts else {}

    def _change_accounts(self, connection: sa.Connection, merges: Sequence[Merge]) -> set[str]:
        """Move merged customers to the account of the survivor; the accounts that have changed."""
        names = {name for merge in merges for name in (merge.survivor, merge.loser)}
        if not (self.with_accounts and names):
            return set()
        before = accounts_of(connection, names)
        update_account_members(connection, names)
        owners = resolve_each(connection, names)
        after = accounts_of(connection, set(owners.values()))
        changed: set[str] = set()
        for merge in merges:
            now_in = after.get(owners[merge.survivor])
            moved = before.get(merge.survivor) != now_in
            firsts = (merge.loser_first_at, merge.survivor_first_at if moved else None)
            times = [micros(first_at) for first_at in firsts if first_at is not None]
            accounts = {before.get(merge.survivor), before.get(merge.loser), now_in} - {None}
            for account in accounts if times else ():
                delete_checkpoints(connection, str(account), min(times))
                changed.add(str(account))
        return changed
