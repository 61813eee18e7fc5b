"""Reads a YAML file into a frozen, validated type; an error names file, line, key and remedy.

All mistakes of a file are reported at once: those of `yaml_nodes` (keys that stand twice, values
that JSON does not have), those of the types, and those of further checks.

No error is repeated in the words of pydantic: the place of an error is taken from it, and what is
expected there is told by the type (`yaml_types`). So an error of a kind that is new to us is a
plain sentence, too. Other values YAML reads otherwise than people mean, and pydantic would accept
them silently: ``cost: no`` would be the number 0, ``from: 21:00`` is the number 1,260 and would be
00:21, and ``until: 2026-03-01`` in a treatment is a date, which JSON does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.business.yaml_mistakes import MAX_FOUND, Mistake, Where, listed, mistakes_in
from features.business.yaml_nodes import JSON_VALUE, YamlFile
from features.business.yaml_repair import Refused, Repairs, value_at
from features.business.yaml_types import (
    DATED,
    NAME,
    Accepted,
    described,
    fields_of,
    is_model,
    place,
    within,
)
from features.errors import InvalidDomain, quoted
from features.nearest_names import did_you_mean

T = TypeVar("T", bound=BaseModel)
Name = Annotated[str, Field(pattern=NAME, max_length=60)]
Days = Annotated[float, Field(gt=0, le=3660, allow_inf_nan=False)]
ROUNDS = 12  # of validation and repair
MAX_SHOWN = 40  # mistakes in one report


class Frozen(BaseModel):
    """A part of a file: it cannot be changed after it was read, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load_yaml(path: Path, into: type[T], check: Callable[[T], object] | None = None) -> T:
    """Read ``path`` and validate it as ``into``.

    A validator of ``into`` that refuses a key further down begins its message with that key, as in
    ``ValueError("churn.event: one of visit, order")``, or raises `yaml_mistakes.Mistakes`. So the
    line of each key can be found.

    Parameters
    ----------
    check
        A further check, such as against another file. It raises like a validator. If the file has
        mistakes, it is called with what is left without the values that were refused.

    Raises
    ------
    InvalidDomain
        With all mistakes, if the file is missing, is no YAML, is too large, repeats a key, or
        breaks a rule of ``into`` or ``check``.
    """
    file = YamlFile(path)
    repairs = Repairs(into, file.content)
    found: list[Mistake] = []
    refused = [Refused(one) for one in (*file.mistakes, *misread(into, file))]
    cause: ValueError | None = None
    for _ in range(ROUNDS):
        refused = refused[:MAX_FOUND]
        found += [one.mistake for one in refused if not (one.told or repairs.explains(one))]
        # What has a predicate of its own is about keys that were left out when the file was read.
        made = [repairs.make(one.mistake.where) for one in refused if not one.mistake.happened]
        if not all(made) or len(found) >= MAX_FOUND:
            break
        try:
            read = into.model_validate(repairs.content)
            if check is not None:
                check(read)
            if not found:
                return read
            break
        except ValueError as error:
            cause, refused = cause or error, refused_by(into, file, error)
    raise _invalid(path, file, found or [one.mistake for one in refused]) from cause


def _invalid(path: Path, file: YamlFile, found: list[Mistake]) -> InvalidDomain:
    """Make one error of all mistakes, in the order of their lines."""
    ordered = sorted(dict.fromkeys(found), key=lambda one: _line(file, one))
    happened = [
        f"{path}, line {_line(file, one)}: {_key(one)} {one.happened or _is(file, one)}."
        for one in ordered[:MAX_SHOWN]
    ]
    if len(ordered) == 1:
        remedy = f"{ordered[0].remedy} Correct that line; nothing was changed.".lstrip()
        return InvalidDomain(happened[0], expected=ordered[0].expected, remedy=remedy)
    sentences = [
        f"{what} Expected {one.expected}. {one.remedy or 'Correct that line.'}"
        for what, one in zip(happened, ordered, strict=False)
    ]
    rest = len(ordered) - len(happened)
    more = f"\nFurther mistakes that are not shown: {rest}." if rest else ""
    count = f"{len(ordered)} mistakes{' or more' if len(ordered) >= MAX_FOUND else ''}"
    return InvalidDomain(
        "\n".join(sentences) + f"{more}\nThe file has {count}.",
        expected="none",
        remedy="Correct these lines; nothing was changed.",
    )


def _key(mistake: Mistake) -> str:
    return ".".join(map(str, mistake.where)) or "the file"


def _line(file: YamlFile, mistake: Mistake) -> int:
    return mistake.line or file.line(mistake.where)


def _is(file: YamlFile, mistake: Mistake) -> str:
    around: Any = value_at(file.content, mistake.where[:-1])
    if mistake.where and isinstance(around, dict) and mistake.where[-1] not in around:
        return "is missing"
    value = value_at(file.content, mistake.where)
    if value is None or isinstance(value, bool | date):
        return f"is {file.written(mistake.where) or 'empty'}"
    return f"is {quoted(value)}"


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
    for detail in islice(error.errors(include_url=False, include_input=False), MAX_FOUND):
        found |= {one.mistake: one for one in _refused(model, file, detail)}
    around = {one.where[:depth] for one in found for depth in range(len(one.where))}
    meant = {(*one.where[:-1], one.remedy) for one in found if one.remedy}
    refused = []
    for mistake, one in found.items():
        where = mistake.where
        # Each type of a union refuses a value: the one that comes furthest is the one meant.
        if one.rule is not None or where not in around:
            last = [str(one) for one in where[-1:]]
            told = (*where[:-1], did_you_mean(last, last)) in meant and not _is_there(file, where)
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
    where = _without_positions(where, file)
    raised = detail.get("ctx", {}).get("error")
    if detail["type"] == "value_error" and isinstance(raised, ValueError):
        raised.__traceback__ = None  # pydantic hides it from the garbage collector, with the file
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
        near = did_you_mean([str(where[-1])], keys)
        return Mistake(where, f"one of the keys {listed(keys)}", near)
    value = value_at(file.content, where)
    allowed = [str(one) for kind in kinds if kind.base is Literal for one in kind.args]
    texts = any(kind.base in (str, Literal) for kind in kinds)
    remedy = did_you_mean([value], allowed) if isinstance(value, str) else ""
    return Mistake(where, described(kinds), remedy or (quotes(file, where) if texts else ""))


def _without_positions(where: Where, file: YamlFile) -> Where:
    """Leave out positions in lists where the file writes the one item without a list."""
    kept: Where = ()
    for part in where:
        around = value_at(file.content, kept)
        if not isinstance(part, int) or around is None or isinstance(around, list):
            kept = (*kept, part)
    return kept


def _placed(mistake: Mistake, file: YamlFile) -> Mistake:
    """Write positions in lists as numbers, where a check has written them as texts."""
    where: list[str | int] = []
    for part in _without_positions(mistake.where, file):
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
