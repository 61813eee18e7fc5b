"""Reads which actions a decision chose, also when retention has removed its record.

Retention (`features.ingest.retention`) empties ``features``, ``answer`` and most of ``record`` of
old decisions. The windows of attribution stay, by action, as credit depends on them.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json

WINDOWS = "attribution_days"  # of a record: the days in which an outcome counts, by action


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


def shortened_record(record: str) -> str:
    """Reduce a record to what is needed without its answer."""
    return to_json({WINDOWS: from_json(record)[WINDOWS]}).decode()
