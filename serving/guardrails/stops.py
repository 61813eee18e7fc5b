"""Switches actions off when a test stops them, tells each worker which, and lifts the stops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from features.errors import InvalidRequest, quoted
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.harm_marks import raise_step
from serving.contract.guardrails import GuardrailStopView, HarmTestView, LiftStopRequest
from serving.guardrails.stored_tests import restart_action
from serving.policies.stopped_actions import Stop

_STOPS = tables.guardrail_stops.c
MAX_SHOWN = 500  # stops, of all times


def read_stops(connection: sa.Connection) -> dict[str, Stop]:
    """Read the stops of now, by action; of several guardrails the one that was first.

    A stop holds even if its guardrail is no longer in the catalogue, until somebody lifts it.
    """
    query = sa.select(_STOPS.action_id, _STOPS.guardrail, _STOPS.stopped_at)
    query = query.where(_STOPS.lifted_at.is_(None))
    found: dict[str, Stop] = {}
    for row in connection.execute(query.order_by(_STOPS.stopped_at, _STOPS.guardrail)):
        found.setdefault(row.action_id, Stop(row.guardrail, row.stopped_at))
    return found


def stop_views(connection: sa.Connection, also_lifted: bool = False) -> list[GuardrailStopView]:
    """Read the stops of now, or of all times, the newest first."""
    query = sa.select(tables.guardrail_stops)
    if not also_lifted:
        query = query.where(_STOPS.lifted_at.is_(None))
    newest = query.order_by(_STOPS.stopped_at.desc(), _STOPS.guardrail, _STOPS.action_id)
    return [_view(row) for row in connection.execute(newest.limit(MAX_SHOWN))]


def _view(row: Any) -> GuardrailStopView:
    return GuardrailStopView(
        guardrail=row.guardrail,
        action_id=row.action_id,
        stopped_at=row.stopped_at,
        test=HarmTestView.model_validate(from_json(row.evidence)),
        lifted_at=row.lifted_at,
        lifted_by=row.lifted_by,
    )


def write_stops(
    connection: sa.Connection, guardrail: str, exceeding: Iterable[HarmTestView], now: datetime
) -> list[HarmTestView]:
    """Switch actions off; those that the guardrail has switched off already are left out."""
    open_ones = (_STOPS.guardrail == guardrail) & _STOPS.lifted_at.is_(None)
    query = sa.select(_STOPS.action_id).where(open_ones)
    stopped = set(connection.execute(query).scalars())
    new = [test for test in exceeding if test.action_id not in stopped]
    rows = [
        {
            "guardrail": guardrail,
            "action_id": test.action_id,
            "stopped_at": now,
            "evidence": test.model_dump_json(),
        }
        for test in new
    ]
    tables.insert_new(connection, tables.guardrail_stops, rows)
    return new


def lift_stop(ledger: Ledger, request: LiftStopRequest, now: datetime) -> GuardrailStopView:
    """Offer an action again; its test begins anew with the decisions from now on.

    Raises
    ------
    InvalidRequest
        If the guardrail has not switched that action off, or it was lifted already.
    """

    def lift(connection: sa.Connection) -> GuardrailStopView:
        mine = (
            (_STOPS.guardrail == request.guardrail)
            & (_STOPS.action_id == request.action_id)
            & _STOPS.lifted_at.is_(None)
        )
        update = sa.update(tables.guardrail_stops).where(mine)
        changed = connection.execute(update.values(lifted_at=now, lifted_by=request.cause))
        if not changed.rowcount:
            raise _not_stopped(request, stop_views(connection))
        restart_action(connection, request.guardrail, request.action_id, now)
        raise_step(connection)
        lifted = sa.select(tables.guardrail_stops).where(
            _STOPS.guardrail == request.guardrail,
            _STOPS.action_id == request.action_id,
            _STOPS.lifted_at == now,
        )
        return _view(connection.execute(lifted.order_by(_STOPS.stopped_at.desc())).first())

    return ledger.write_now(lift)


def _not_stopped(request: LiftStopRequest, stops: Sequence[GuardrailStopView]) -> InvalidRequest:
    named = ", ".join(f"{one.guardrail} of {one.action_id}" for one in stops[:20])
    return InvalidRequest(
        f"The guardrail {quoted(request.guardrail)} has not switched off "
        f"{quoted(request.action_id)}.",
        expected=f"a stop of now: {named or 'there is none'}",
        remedy="Look at /v1/guardrails, or run 'nba guardrails'.",
    )
