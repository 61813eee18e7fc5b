"""Writes decisions to the ledger as the engine does, for tests of outcomes and learning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features.business.catalog import NO_ACTION
from features.customers.contacts import note_contacts
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.outcomes.silence import queue_silences


def decided(
    ledger: Ledger,
    decision_id: str,
    at: datetime,
    days: Mapping[str, float],
    *,
    customer_id: str = "c1",
    channel: str = "app",
    layout: str = "",
    row: Sequence[float] = (),
    experts: Mapping[str, Sequence[float]] | None = None,
    believed: Mapping[str, float] | None = None,
    **changed: Any,
) -> None:
    """Write a decision that showed some actions, each with its window in days, best rank first.

    With ``activated_at=None, served=False`` it waits; without actions it showed `no_action`.
    """
    shown_at = changed.get("activated_at", at)
    first, *_ = names = [*days] or [NO_ACTION]
    record = {"features_layout": layout, "attribution_days": days, "experts": experts or {}}
    if believed:  # as an earlier release wrote it
        record |= {"candidates": [*believed], "acceptance": [*believed.values()]}
    decision = {
        "decision_id": decision_id,
        "subject": customer_id,
        "customer_id": customer_id,
        "decided_at": at,
        "activated_at": at,
        "channel": channel,
        "action_id": first,
        "probability": 0.5,
        "arm": "policy",
        "served": True,
        "window_ends_at": (shown_at or at) + timedelta(days=max(days.values(), default=0)),
        "features": np.array(row, dtype="<f8").tobytes(),
        "record": json.dumps(record),
        "answer": json.dumps({"actions": [{"action_id": name} for name in names]}),
    }
    kept = json.loads(changed["activation"])["activated"] if "activation" in changed else names
    shown = [name for name in days if name in kept]
    served = changed.get("served", True) and shown_at is not None
    decision["slots_shown"] = len(shown) if served and len(shown) > 1 else None
    contacts = [
        {
            "decision_id": decision_id,
            "action_id": name,
            "subject": customer_id,
            "customer_id": customer_id,
            "shown_at": shown_at,
            "channel": channel,
            "action_group": "any",
        }
        for name in shown
        if shown_at is not None
    ]

    def put(connection: Any) -> None:
        connection.execute(tables.decisions.insert(), decision | changed)
        note_contacts(connection, contacts)
        if (decision | changed)["served"] and shown_at is not None:
            queue_silences(connection, decision_id, shown, shown_at)

    ledger.write_now(put)


def put_imported(ledger: Ledger, decision_id: str, at: datetime) -> None:
    """Put an imported decision, which has neither features nor a record nor an answer."""
    row = {
        "decision_id": decision_id,
        "subject": "c1",
        "customer_id": "c1",
        "decided_at": at,
        "channel": "app",
        "action_id": "discount",
        "served": False,
        "window_ends_at": at,
    }
    ledger.write_now(lambda connection: connection.execute(tables.decisions.insert(), row))
