"""Decides for many customers at once, by the functions with which the engine decides for one.

What single decisions read from the ledger is read in bulk, and all are appended in one transaction.
Each is scored and selected by `score` and `select`, so answers and rows are those of
`Engine.decide`, called for one customer after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from pydantic_core import from_json, to_json

from features.customers.contacts import Contact, history
from features.identity.links import resolve_each
from features.identity.tombstones import Found, find_customer
from features.ledger import tables
from features.ledger.tables import micros
from serving.contract.decisions import DecideRequest, Decision
from serving.decide.choice import score, select
from serving.decide.customer_inputs import consents_on
from serving.decide.decision_record import DecisionRows, append_many, decision_rows
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.decide.inputs import new_decision_id
from serving.decide.limit_inputs import account_contacts_of, contacts_of, paces_of
from serving.decide.step_results import (
    ActionPredictions,
    CompleteDecision,
    DecisionInputs,
    LimitInputs,
)
from serving.models.served_models import ServedModels


class Asked(NamedTuple):
    """A request, and the time at which it comes."""

    request: DecideRequest
    now: datetime


class _Reader(NamedTuple):
    """A request of a customer whom the ledger knows."""

    asked: Asked
    keys: tuple[str, ...]
    found: Found
    consents: Mapping[str, bool]


def decide_batch(engine: Engine, asked: Sequence[Asked]) -> list[Decision]:
    """Decide for customers in the order of their requests.

    The caller is the only writer of the ledger, and decision ids are new.

    Raises
    ------
    InvalidRequest, InvalidData, CustomerForgotten
        Like `Engine.decide`.
    """
    keys = [engine.inputs.check(one.request) for one in asked]
    setup, decided = engine.setup, list[Decision]()
    secret, readers = engine.ledger.read(partial(_readers, engine=engine, asked=asked, keys=keys))
    for some in _apart(readers, alone=setup.contact_policy.per_account):
        decided += _decide(engine, setup, secret, some)
    return decided


def _readers(
    connection: sa.Connection,
    engine: Engine,
    asked: Sequence[Asked],
    keys: Sequence[tuple[str, ...]],
) -> tuple[str, list[_Reader]]:
    """Find the customer of each request, and read consents."""
    secret = tables.get_meta(connection, tables.DRAW_SECRET) or ""
    setup, normalizer = engine.setup, engine.inputs.normalizer
    forgotten = connection.execute(sa.select(sa.exists(sa.select(tables.tombstones)))).scalar_one()
    plain = {
        one[0]
        for one in keys
        if len(one) == 1 and not forgotten and not normalizer.is_anonymous(one[0])
    }
    owners = resolve_each(connection, plain)
    readers = []
    for one, its in zip(asked, keys, strict=True):
        key = its[0]
        whole = its != (key,) or key not in plain
        found = find_customer(connection, its) if whole else Found(owners.get(key, key), key)
        consents = consents_on(
            connection, engine.domain, setup, found.customer_id, one.request.channel
        )
        readers.append(_Reader(one, its, found, consents))
    return secret, readers


def _apart(readers: Sequence[_Reader], alone: bool) -> Iterator[list[_Reader]]:
    """Divide requests: a decision must not depend on another one of its part, but for paces."""
    some, who = list[_Reader](), set[str]()
    for one in readers:
        if some and (alone or one.found.customer_id in who):
            yield some
            some, who = [], set()
        some.append(one)
        who.add(one.found.customer_id)
    if some:
        yield some


def _decide(
    engine: Engine, setup: DecisionSetup, secret: str, readers: Sequence[_Reader]
) -> list[Decision]:
    """Decide for customers of whom none depends on the contacts of another one."""
    limits, paces = engine.ledger.read(partial(_limits, setup=setup, readers=readers))
    decided, rows, changed = list[Decision](), list[DecisionRows](), dict[str, Any]()
    inputs_of = [_inputs(engine, setup, secret, one) for one in readers]
    predictions = _predictions(setup, inputs_of)
    for inputs, predicted, of_one in zip(inputs_of, predictions, limits, strict=True):
        scored = score(setup, inputs, predicted=predicted)
        names = setup.pacer.names(scored.eligibility.out)
        mine = {name: paces[name] for name in names if name in paces}
        read = LimitInputs(of_one.contacts, mine, of_one.account)
        selected = select(setup, inputs, scored, read)
        rows.append(decision_rows(CompleteDecision(setup, inputs, scored, read, selected)))
        decided.append(selected.decision)
        if rows[-1].contacts and (spent := selected.pacing_result.changed):
            changed |= spent
            paces |= {name: from_json(to_json(state)) for name, state in spent.items()}
    engine.ledger.write_now(lambda connection: append_many(connection, rows, changed))
    return decided


def _inputs(engine: Engine, setup: DecisionSetup, secret: str, one: _Reader) -> DecisionInputs:
    (request, now), keys, found, consents = one
    decision_id = new_decision_id(request, now)
    known = (setup, request, keys, now, decision_id, found, consents)
    return engine.inputs.with_features(*known, secret=secret)


def _predictions(
    setup: DecisionSetup, inputs: Sequence[DecisionInputs]
) -> Sequence[ActionPredictions | None]:
    """Predict for all at once, if the models can; None: `score` asks them for each."""
    models = setup.models
    if not isinstance(models, ServedModels):
        return [None] * len(inputs)
    rows = np.array([one.row for one in inputs])
    channels = [one.request.channel for one in inputs]
    counts = setup.compiled.remaining is not None
    effects = models.predict_effects_each(rows, channels) if counts else None
    accepted = models.predict_each(rows, channels)
    return list(map(ActionPredictions, accepted, effects or repeat(None)))


def _limits(
    connection: sa.Connection, setup: DecisionSetup, readers: Sequence[_Reader]
) -> tuple[list[LimitInputs], dict[str, Any]]:
    """Read the contacts of each customer, and the pacing states of all actions."""
    paces = paces_of(connection, setup, np.zeros(len(setup.compiled.actions), dtype=bool))
    policy = setup.contact_policy
    if policy.reaction_days or policy.per_account:
        return [_limits_of(connection, setup, one) for one in readers], paces
    mine: dict[str, list[Contact]] = {}
    if policy.days:
        since = min(one.asked.now for one in readers) - timedelta(days=policy.days)
        customer_ids = [one.found.customer_id for one in readers]
        for contact in history(connection, customer_ids, since):
            mine.setdefault(contact.customer_id, []).append(contact)
    found = []
    for one in readers:
        since_us = micros(one.asked.now - timedelta(days=policy.days))
        contacts = mine.get(one.found.customer_id, ())
        found.append(LimitInputs([each for each in contacts if each.shown_us > since_us], {}))
    return found, paces


def _limits_of(connection: sa.Connection, setup: DecisionSetup, one: _Reader) -> LimitInputs:
    customer_id, channel, now = one.found.customer_id, one.asked.request.channel, one.asked.now
    contacts = contacts_of(connection, setup, customer_id, now)
    account = account_contacts_of(connection, setup, customer_id, channel, now)
    return LimitInputs(contacts, {}, account)
