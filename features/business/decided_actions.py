"""Reads which actions a decision chose, also when retention has removed its record.

Retention (`features.store.retention`) empties ``features``, ``answer`` and most of ``record`` of
old decisions. The windows of attribution stay, by action, as credit depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

WINDOWS = "attribution_days"  # of a record: the days in which an outcome counts, by action
KEYS = ("customer_id", "identifiers")  # of a request


def decided_actions(row: Any) -> list[str]:
    """List the actions of a decision, rank 1 first.

    Parameters
    ----------
    row
        With the columns ``action_id``, ``answer`` and ``record`` of a decision. An imported
        decision has neither answer nor record, and one action.
    """
    if row.answer is not None:
        return [action["action_id"] for action in from_json(row.answer)["actions"]]
    shown = from_json(row.record)[WINDOWS] if row.record is not None else ()
    return list(dict.fromkeys([row.action_id, *shown]))


def is_removed(row: Any) -> bool:
    """Return whether retention has removed the record of a decision of ours."""
    return row.record is not None and row.answer is None


def without_other_keys(request: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """Leave out the keys of a request but one: they may be, or become, those of somebody else.

    Whoever is forgotten must not stay in the record of another customer's decision.

    Parameters
    ----------
    request
        As JSON, with ``customer_id``, ``identifiers`` or both.
    subject
        The key under which the decision is stored; it stays.
    """
    named = [request["customer_id"]] if "customer_id" in request else []
    if len({*named, *request.get("identifiers", ())}) <= 1:
        return dict(request)
    rest = {name: value for name, value in request.items() if name not in KEYS}
    subject = subject.partition(" ")[0]  # of a device and its holder (`identity.holders`)
    own = {"customer_id": subject} if subject in named else {"identifiers": [subject]}
    return own | rest


def shortened_record(record: str) -> str:
    """Reduce a record to what is needed without its answer."""
    return to_json({WINDOWS: from_json(record)[WINDOWS]}).decode()
