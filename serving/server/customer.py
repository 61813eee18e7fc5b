"""Collects what is known of one customer: profile, open journeys, timeline and predictions."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from features.customers.attribute_history import attribute_history
from features.customers.consents import consents
from features.customers.contacts import contact_summary
from features.customers.erasure_scope import asked_keys
from features.customers.profiles import attributes_of
from features.customers.satisfaction import feedback
from features.customers.timeline import TimelineCursor, TimelineItem, has_events, timeline
from features.identity.holders import base_key, base_keys
from features.identity.links import keys_of, links_of
from features.identity.tombstones import find_customer
from features.ledger import tables
from serving.contract.customers import (
    CustomerRequest,
    CustomerView,
    FeedbackView,
    JourneyView,
    LinkView,
    PastAttribute,
    TimelineEntry,
)
from serving.contract.decisions import Predictions
from serving.decide.choice import LEFT
from serving.decide.customer_inputs import feature_row, left_at, missing, read_features
from serving.decide.engine import Engine
from training.arrays import Floats


def view_customer(request: CustomerRequest, engine: Engine, now: datetime) -> CustomerView:
    """Read everything that is known of a customer.

    Raises
    ------
    InvalidRequest, InvalidData
        If ``before`` or an identifier cannot be used.
    CustomerForgotten
        If the customer was erased.
    """
    about = request.customer_id, request.identifiers
    before = TimelineCursor.parse(request.before) if request.before else None

    def read(connection: sa.Connection) -> dict[str, Any]:
        keys = asked_keys(connection, engine.normalizer, *about)
        customer_id = find_customer(connection, keys).customer_id
        all_keys = keys_of(connection, customer_id)
        attributes = attributes_of(connection, customer_id)
        entries, following = timeline(connection, customer_id, engine.domain, request.limit, before)
        return {
            "customer_id": customer_id,
            "known": bool(attributes) or has_events(connection, customer_id),
            "attributes": attributes,
            "attribute_history": _past_attributes(connection, engine, customer_id),
            "identifiers": base_keys(all_keys),
            "links": [_link(row) for row in links_of(connection, all_keys)],
            "timeline": [_entry(one) for one in entries],
            "next": str(following) if following else None,
            "contacts": contact_summary(connection, customer_id, now),
            "consents": consents(connection, customer_id, engine.domain),
        }

    found = engine.ledger.read(read)
    customer_id = found["customer_id"]
    known, problem = read_features(engine.features, customer_id)
    row = feature_row(engine.model_input, known, now)
    left = left_at(engine.model_input, known)
    account, models = engine.domain.account, engine.setup.models
    return CustomerView(
        **found,
        account=found["attributes"].pop(account, None) if account else None,
        journeys=_journeys(engine, known.state if known else None, now),
        predictions=_predictions(engine, row, left),
        models=dict(models.versions),
        feedback=_feedback(engine, customer_id),
        left=left is not None,
        left_at=left,
        degraded=missing(models, row, found["known"], problem),
    )


def _predictions(engine: Engine, row: Floats, left: datetime | None) -> Predictions:
    models = engine.setup.models
    return Predictions(
        churn=LEFT if left else models.churn(row),
        intent=models.intent(row),
        stage=engine.setup.compiled.context_reader.stage(row),
    )


def _past_attributes(
    connection: sa.Connection, engine: Engine, customer_id: str
) -> list[PastAttribute]:
    return [
        PastAttribute(**one._asdict())
        for one in attribute_history(connection, customer_id)
        if one.name != engine.domain.account
    ]


def _link(row: Any) -> LinkView:
    left, right = base_key(row.left), base_key(row.right)
    return LinkView(**{**row._mapping, "left": left, "right": right})


def _journeys(engine: Engine, state: Any, now: datetime) -> list[JourneyView]:
    if state is None:
        return []
    journeys = engine.model_input.fold.open_journeys(state, now.timestamp())
    return [
        JourneyView(
            journey=one.kind,
            stage=one.stage,
            problem=one.problem,
            open=one.count,
            opened_at=_at(one.opened_at_s),
            stage_since=_at(one.stage_at_s),
        )
        for one in journeys
    ]


def _at(at_s: float) -> datetime:
    return tables.from_micros(round(at_s * 1e6))


def _entry(entry: TimelineItem) -> TimelineEntry:
    cursor = entry.cursor
    at = tables.from_micros(cursor.at_us)
    return TimelineEntry(kind=cursor.kind, at=at, id=cursor.id, content=entry.content)


def _feedback(engine: Engine, customer_id: str) -> list[FeedbackView]:
    rows = feedback(engine.ledger, engine.domain, [], customer_id=customer_id)
    return [
        FeedbackView(measure=row.measure, **{k: _number(v) for k, v in row.score._asdict().items()})
        for row in rows
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
