"""Puts event types that most businesses share into the content of a domain file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from features.business.yaml_mistakes import Mistakes

VOCABULARY = Path(__file__).parents[1] / "domains" / "vocabulary.yaml"


def with_vocabulary(content: Any) -> Any:
    """Put the shared event types that a domain file names before its own.

    Raises
    ------
    Mistakes
        If the file names event types that are not shared.
    """
    if not isinstance(content, dict) or not content.get("vocabulary"):
        return content
    wanted, shared = content["vocabulary"], _vocabulary()
    own, kinds = content.get("events") or {}, content.get("journeys") or {}
    if not all(isinstance(part, dict) for part in (own, kinds)):
        return content  # the fields refuse it
    known = list(shared["events"])
    names = known if wanted == "all" else wanted
    if not isinstance(names, list | tuple):
        raise ValueError("vocabulary: all, or a list of names")
    mistakes = Mistakes()
    mistakes.unknown("vocabulary", map(str, names), known)
    mistakes.refuse()
    currency = str(content.get("currency"))
    taken = [name for name in names if name in known]  # without what stands for a wrong name
    events = {name: _in_currency(shared["events"][name], currency) for name in taken} | own
    # A list, as a file may hold unhashable values by mistake.
    used = [event.get("journey") for event in events.values() if isinstance(event, dict)]
    kept = {name: kind for name, kind in shared["journeys"].items() if name in used}
    return {**content, "events": events, "journeys": kept | kinds}


def shared_names() -> tuple[str, ...]:
    """List the names of all event types of the vocabulary."""
    return tuple(_vocabulary()["events"])


@cache
def _vocabulary() -> Any:
    return yaml.safe_load(VOCABULARY.read_text(encoding="utf-8"))


def _in_currency(event: Any, currency: str) -> Any:
    properties = event.get("properties", {})
    named = {name.replace("currency", currency): kept for name, kept in properties.items()}
    return {**event, "properties": named}
