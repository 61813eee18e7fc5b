"""Reads a YAML file into a frozen, validated type; an error names file, line, key and remedy.

All mistakes of a file are reported at once: those of `yaml_nodes` (keys that stand twice, values
that JSON does not have), those of the types, and those of further checks.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from features.business.yaml_errors import misread, refused_by
from features.business.yaml_mistakes import Mistake
from features.business.yaml_nodes import YamlFile
from features.business.yaml_repair import Refused, Repairs, value_at
from features.business.yaml_types import NAME
from features.errors import InvalidDomain, quoted

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
        found += [one.mistake for one in refused if not (one.told or repairs.explains(one))]
        # What has a predicate of its own is about keys that were left out when the file was read.
        made = [repairs.make(one.mistake.where) for one in refused if not one.mistake.happened]
        if not all(made):
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
    return InvalidDomain(
        "\n".join(sentences) + f"{more}\nThe file has {len(ordered)} mistakes.",
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
