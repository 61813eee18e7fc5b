"""Reads the contacts and the pacing states that limit a decision, and compares two such readings.

They are read twice: without a lock for the selection, and again in the transaction that appends
the decision. The selection takes most of the time of a decision, so it is kept out of the
transaction, as in optimistic concurrency control (Kung & Robinson, 1981): the transaction
validates what the selection has read, and the selection is repeated if that has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from features.customers.account_contacts import AccountContacts, read_account_contacts
from features.customers.contacts import Contact, history, late_reactions
from features.customers.profiles import account_of
from features.ledger import tables
from features.ledger.statements import Statement, list_parameters, list_values
from serving.decide.decision_setup import DecisionSetup
from serving.decide.step_results import DecisionInputs, LimitInputs, ScoredActions
from training.arrays import Bools


def read_limit_inputs(
    connection: sa.Connection,
    setup: DecisionSetup,
    customer_id: str,
    channel: str,
    now: datetime,
    out: Bools,
) -> LimitInputs:
    """Read contacts and pacing states.

    Parameters
    ----------
    out : shape (n_actions,)
        Actions that are removed already; the pacing states that only they draw on are not read.
    """
    contacts = contacts_of(connection, setup, customer_id, now)
    account = account_contacts_of(connection, setup, customer_id, channel, now)
    return LimitInputs(contacts, paces_of(connection, setup, out), account)


def still_valid(
    setup: DecisionSetup,
    inputs: DecisionInputs,
    scored: ScoredActions,
    read: LimitInputs,
    locked: LimitInputs,
) -> bool:
    """True if a selection by ``read`` may be appended although ``locked`` holds now.

    The contacts must be equal. The pacing states may differ a little: see
    `BudgetPacer.still_valid`. Neither condition looks at the actions that were drawn. So no draw
    is repeated more often than another, and the logged probabilities are exact.
    """
    if read.contacts != locked.contacts or read.account != locked.account:
        return False
    out, slots = scored.eligibility.out, inputs.request.slots
    paces, now = (read.paces, locked.paces), inputs.decided_at
    return setup.pacer.still_valid(*paces, now, slots, out, inputs.arm)


def contacts_of(
    connection: sa.Connection, setup: DecisionSetup, customer_id: str, now: datetime
) -> list[Contact]:
    """Read the contacts of a customer that the contact policy counts, the oldest first."""
    policy = setup.contact_policy
    if not policy.days:
        return []
    since = now - timedelta(days=policy.days)
    contacts = history(connection, [customer_id], since)
    if not policy.reaction_days:
        return contacts
    reacted_since = now - timedelta(days=policy.reaction_days)
    return late_reactions(connection, customer_id, reacted_since, since) + contacts


def account_contacts_of(
    connection: sa.Connection,
    setup: DecisionSetup,
    customer_id: str,
    channel: str,
    now: datetime,
    before: datetime | None = None,
) -> AccountContacts | None:
    """Count the contacts of a customer's account, where a rule is per account.

    Parameters
    ----------
    before
        Leave out contacts from then on; None: there are none.
    """
    policy = setup.contact_policy
    account = account_of(connection, customer_id) if policy.per_account else None
    if account is None:
        return None
    counts, window = policy.of_account(channel)
    return read_account_contacts(connection, account, counts, window, now, before)


def limit_inputs_of(record: Mapping[str, Any], customer_id: str) -> LimitInputs:
    """Take the contacts and pacing states of a logged decision from its record.

    Colleagues' customer ids are not in the record; they are empty here.
    """
    contacts = [Contact(customer_id if own else "", *rest) for own, *rest in record["contacts"]]
    kept = record.get("account")
    if kept is None:
        return LimitInputs(contacts, record["paces"])
    showings = [Contact("", *rest) for rest in kept["showings"]]
    account = AccountContacts(kept["counts"], showings, kept["showings_of"])
    return LimitInputs(contacts, record["paces"], account)


def record_of_account(account: AccountContacts | None) -> dict[str, Any]:
    """Make the part of a decision's record that keeps the contacts of the account."""
    if account is None:
        return {}
    showings = [one[1:] for one in account.showings]
    return {"account": {**account._asdict(), "showings": showings}}


def paces_of(connection: sa.Connection, setup: DecisionSetup, out: Bools) -> dict[str, Any]:
    """Read the pacing states that the actions which are left draw on, by name."""
    names = setup.pacer.names(out)
    if not names:
        return {}
    found: dict[str, str] = dict(_paces(len(names)).rows(connection, list_values("name", names)))
    # In the order of the catalogue, not of the database: records are compared by their bytes.
    return {name: from_json(found[name]) for name in names if name in found}


def keep_paces(connection: sa.Connection, changed: Mapping[str, Any]) -> None:
    """Write the pacing states that spending has changed."""
    rows = [{"name": name, "state": to_json(state).decode()} for name, state in changed.items()]
    tables.upsert(connection, tables.paces, rows)


@cache
def _paces(names: int) -> Statement:
    columns = tables.paces.c
    query = sa.select(columns.name, columns.state)
    return Statement(query.where(columns.name.in_(list_parameters("name", names))))
