"""Turns the errors of a validation into mistakes in our own words.

No error is repeated in the words of pydantic: the place of an error is taken from it, and what is
expected there is told by the type (`yaml_types`). So an error of a kind that is new to us is a
plain sentence, too.

Other values YAML reads otherwise than people mean, and pydantic would accept them silently:
``cost: no`` is false and would be the number 0; ``from: 21:00`` is the number 1,260 and would be
00:21; ``until: 2026-03-01`` in a treatment is a date, which JSON does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from math import isfinite
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from features.business.yaml_mistakes import Mistake, Where, listed, mistakes_in, nearest
from features.business.yaml_nodes import JSON_VALUE, YamlFile
from features.business.yaml_repair import Refused, value_at
from features.business.yaml_types import (
    DATED,
    Accepted,
    described,
    fields_of,
    is_model,
    place,
    within,
)


def refused_by(model: type[BaseModel], file: YamlFile, error: ValueError) -> list[Refused]:
    """List the mistakes that a validation, or a further check, has found in a file.

    Parameters
    ----------
    model
        The type of the whole file.
    error
        A ``ValidationError`` of pydantic, `Mistakes`, or a ``ValueError`` with one mistake.
    """
    if not isinstance(error, ValidationError):
        return [Refused(_placed(one, file)) for one in mistakes_in(error)]
    found: dict[Mistake, Refused] = {}
    for detail in error.errors(include_url=False):
        found |= {one.mistake: one for one in _refused(model, file, detail)}
    places = [one.where for one in found]
    meant = {(*one.where[:-1], one.remedy) for one in found if one.remedy}
    refused = []
    for mistake, one in found.items():
        where = mistake.where
        # Each type of a union refuses a value: the one that comes furthest is the one meant.
        further = any(other != where and other[: len(where)] == where for other in places)
        if one.rule is not None or not further:
            misspelled = where != () and (*where[:-1], nearest([str(where[-1])], [str(where[-1])]))
            told = misspelled in meant and not _is_there(file, where)
            # Of what a rule has put in, such as properties that are named after the currency.
            told = told or (len(where) > 1 and value_at(file.content, where[:-1]) is None)
            refused.append(one._replace(told=told))
    return refused


def _is_there(file: YamlFile, where: Where) -> bool:
    around = value_at(file.content, where[:-1])
    return not isinstance(around, dict) or where[-1] in around


def _refused(model: type[BaseModel], file: YamlFile, detail: Mapping[str, Any]) -> list[Refused]:
    location = tuple(detail["loc"])
    where, kinds = place(model, location)
    raised = detail.get("ctx", {}).get("error")
    if detail["type"] == "value_error" and isinstance(raised, ValueError):
        found = mistakes_in(raised, where)
        return [Refused(_placed(one, file), rule=len(where)) for one in found]
    return [Refused(_mistake(model, file, location, where, kinds))]


def _mistake(
    model: type[BaseModel], file: YamlFile, location: Where, where: Where, kinds: list[Accepted]
) -> Mistake:
    if location[-1:] == ("[key]",):
        return Mistake(where, f"{described(kinds)} as the key")
    if not kinds:  # no key of this model
        above = [kind.base for kind in place(model, where[:-1])[1] if is_model(kind)]
        keys = [key for one in above for key in fields_of(one)]
        return Mistake(where, f"one of the keys {listed(keys)}", nearest([str(where[-1])], keys))
    value = value_at(file.content, where)
    allowed = [str(one) for kind in kinds if kind.base is Literal for one in kind.args]
    texts = any(kind.base in (str, Literal) for kind in kinds)
    remedy = nearest([value], allowed) if isinstance(value, str) else ""
    return Mistake(where, described(kinds), remedy or (quotes(file, where) if texts else ""))


def _placed(mistake: Mistake, file: YamlFile) -> Mistake:
    """Write positions in lists as numbers, where a check has written them as texts."""
    where: list[str | int] = []
    for part in mistake.where:
        around = value_at(file.content, tuple(where))
        where.append(int(part) if isinstance(around, list) and str(part).isdecimal() else part)
    return mistake._replace(where=tuple(where))


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
