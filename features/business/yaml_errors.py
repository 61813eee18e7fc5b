"""Turns the errors of a validation into mistakes in our own words.

No error is repeated in the words of pydantic: the place of an error is taken from it, and what is
expected there is told by the type (`yaml_types`). So an error of a kind that is new to us is a
plain sentence, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from features.business.misread_values import quotes
from features.business.yaml_mistakes import Mistake, Where, listed, mistakes_in, nearest
from features.business.yaml_nodes import YamlFile
from features.business.yaml_repair import Refused, value_at
from features.business.yaml_types import Accepted, described, fields_of, is_model, place


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
