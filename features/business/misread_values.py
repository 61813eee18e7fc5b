"""Finds values that YAML reads otherwise than people mean, and that a type would accept silently.

``cost: no`` is false and would be the number 0; ``from: 21:00`` is the number 1,260 and would be
00:21; ``until: 2026-03-01`` in a treatment is a date, which JSON does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from math import isfinite
from typing import Any

from pydantic import BaseModel

from features.business.yaml_mistakes import Mistake, Where
from features.business.yaml_nodes import JSON_VALUE, YamlFile
from features.business.yaml_types import DATED, Accepted, described, within


def misread(model: type[BaseModel], file: YamlFile) -> list[Mistake]:
    """List the values of a file that are of another kind than the type of their place.

    They are truths at numbers, numbers at times, numbers without an end, and dates at places that
    take any JSON.
    """
    found = _misread(file.content, [Accepted(model, (), {})], ())
    return [
        Mistake(where, expected, f"YAML reads it as {file.read_as(where)}.")
        for where, expected in found
    ]


def quotes(file: YamlFile, where: Where) -> str:
    """Write the remedy for a text without quotes that YAML reads as another kind of value."""
    written = file.written(where)
    if written is None:
        return ""
    quoted = '""' if written in ("", "~", "null") else f'"{written}"'
    return f"YAML reads it as {file.read_as(where)}; if it is a text, put it in quotes: {quoted}."


def _misread(value: Any, kinds: list[Accepted], where: Where) -> Iterator[tuple[Where, str]]:
    bases = [kind.base for kind in kinds]
    number = int in bases or float in bases
    if isinstance(value, dict | list):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            known = within(kinds, part)
            if known is not None:
                yield from _misread(inner, known, (*where, part))
    elif isinstance(value, bool):
        if number and bool not in bases:
            yield where, described(kinds)
    elif isinstance(value, int | float):
        if not isfinite(value):
            yield where, described(kinds) if number else "a finite number"
        elif not number and any(base in DATED for base in bases):
            yield where, described(kinds)
    elif isinstance(value, date) and Any in bases:
        yield where, JSON_VALUE
