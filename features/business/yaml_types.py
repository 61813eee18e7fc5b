"""Describes for people what the types of a YAML file accept at a place.

Errors of pydantic say where a value is wrong. What stands there instead is said by the type, in our
own words, so that no sentence of a library reaches a user, whatever the error is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from features.business.yaml_mistakes import Where, listed

NAME = r"^[a-z][a-z0-9_]*$"
_FORMS = {
    NAME: "a name of small letters, digits and _, a letter first",
    "^[a-z]{3}$": "three small letters, such as eur",
}
_BOUNDS = {
    "gt": "greater than",
    "ge": "greater than or equal to",
    "lt": "less than",
    "le": "less than or equal to",
}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "a text",
    date: "a day such as 2026-03-01",
    time: "a time of the day in quotes, such as '21:00'",
    datetime: "a time such as 2026-03-01T09:00:00+01:00",
    AwareDatetime: "a time with a timezone, such as 2026-03-01T09:00:00+01:00",
}
DATED = (date, time, datetime, AwareDatetime)


class Accepted(NamedTuple):
    """One type that a place accepts.

    Attributes
    ----------
    base
        Such as ``float``, ``dict`` or a model.
    args
        Of a generic type or a ``Literal``.
    limits
        Such as ``gt``, ``min_length`` and ``pattern``.
    """

    base: Any
    args: tuple[Any, ...]
    limits: dict[str, Any]


# By the id of an annotation, which is kept beside them so that no other one gets its id.
_kept: dict[int, tuple[Any, list[Accepted]]] = {}


def accepted(annotation: Any) -> list[Accepted]:
    """List the types of an annotation or a field, without None."""
    if id(annotation) not in _kept:
        _kept[id(annotation)] = annotation, list(_accepted(annotation))
    return _kept[id(annotation)][1]


def _accepted(annotation: Any, limits: dict[str, Any] | None = None) -> Iterator[Accepted]:
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, FieldInfo):
        yield from _accepted(annotation.annotation, _limits(annotation.metadata))
    elif origin is Annotated:
        yield from _accepted(args[0], (limits or {}) | _limits(args[1:]))
    elif origin in (Union, UnionType):
        for part in args:
            yield from _accepted(part, limits)
    elif isinstance(annotation, TypeVar):
        yield Accepted(Any, (), {})
    elif annotation is not type(None):
        yield Accepted(origin or annotation, args, limits or {})


def _limits(metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in metadata:
        if isinstance(one, FieldInfo):
            found |= _limits(one.metadata)
        for name in (*_BOUNDS, "min_length", "max_length", "pattern"):
            if getattr(one, name, None) is not None:
                found[name] = getattr(one, name)
    return found


def is_model(kind: Accepted) -> bool:
    """True for a type with keys of its own."""
    return isinstance(kind.base, type) and issubclass(kind.base, BaseModel)


@cache
def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the key that stands for each in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def within(kinds: list[Accepted], part: str | int) -> list[Accepted] | None:
    """List the types that a key or a list's position accepts; None if ``part`` is none of these.

    Then it names one type of a union, as errors of pydantic do.
    """
    for kind in kinds:
        if is_model(kind):
            fields = fields_of(kind.base)
            if part in fields or part in kind.base.model_fields:
                return accepted(fields.get(str(part)) or kind.base.model_fields[str(part)])
        elif kind.base is dict and isinstance(part, str):
            return accepted(kind.args[1])
        elif kind.base in (tuple, list):
            item = accepted(kind.args[0])
            if isinstance(part, int):
                return item
            # A file may write one item without a list, where the model makes a list of it.
            if any(is_model(one) for one in item) and (inner := within(item, part)) is not None:
                return inner
        elif kind.base is Any:
            return [kind]
    return None


def place(model: type[BaseModel], location: Where) -> tuple[Where, list[Accepted]]:
    """Find the keys that lead to an error's location, and the types that are accepted there."""
    where: Where = ()
    around: list[Accepted] = []
    kinds = [Accepted(model, (), {})]
    for index, part in enumerate(location):
        if part == "[key]":  # the key before it is wrong, and not its value
            return where, [key for kind in around if kind.args for key in accepted(kind.args[0])]
        inner = within(kinds, part)
        if inner is not None:
            around, where, kinds = kinds, (*where, part), inner
        elif index == len(location) - 1 and any(is_model(kind) for kind in kinds):
            where, kinds = (*where, part), []  # a key that the model does not have
    return where, kinds


def described(kinds: list[Accepted]) -> str:
    """Describe in words what a place accepts, such as "a number greater than 0"."""
    words = [_described(kind) for kind in kinds]
    return ", or ".join(dict.fromkeys(words)) or "a value that this key accepts"


def _described(kind: Accepted) -> str:
    base, args, limits = kind
    if base is Literal:
        *others, last = map(repr, args)
        return f"one of {', '.join(others)} or {last}" if others else last
    if is_model(kind):
        return f"a mapping with keys of {listed(list(fields_of(base)))}"
    if base in (dict, tuple, list):
        word = "a mapping" if base is dict else "a list"
        return f"{word}{_size(limits, 'entry', 'entries')}"
    form = _FORMS.get(limits.get("pattern", ""), _KINDS.get(base, "a value that JSON has"))
    bounds = [f"{word} {limits[key]:,.10g}" for key, word in _BOUNDS.items() if key in limits]
    return " ".join([form, " and ".join(bounds)]).rstrip() + _size(
        limits, "character", "characters"
    )


def _size(limits: dict[str, Any], one: str, many: str) -> str:
    words = {"min_length": "at least", "max_length": "at most"}
    said = [f"{word} {limits[key]:,}" for key, word in words.items() if key in limits]
    unit = one if said and said[-1].endswith(" 1") else many
    return f", {' and '.join(said)} {unit}" if said else ""
