"""Reads a YAML file into a frozen, validated type; an error names file, line, key and remedy.

PyYAML alone does not keep the line of a value, and of two equal keys it takes the last one without
a warning. A business person who edits the action catalogue needs the line. So the parsed nodes are
kept beside the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.errors import InvalidDomain

T = TypeVar("T", bound=BaseModel)
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Days = Annotated[float, Field(gt=0, le=3660, allow_inf_nan=False)]


class Frozen(BaseModel):
    """A part of a file: it cannot be changed after it was read, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load_yaml(path: Path, into: type[T], check: Callable[[T], object] | None = None) -> T:
    """Read ``path`` and validate it as ``into``.

    A validator of ``into`` that refuses a key further down begins its message with that key, as in
    ``ValueError("churn.event: one of visit, order")``. So the line of the key can be found.

    Parameters
    ----------
    check
        A further check, such as against another file. It raises like a validator.

    Raises
    ------
    InvalidDomain
        If the file is missing, is not YAML, repeats a key, or breaks a rule of ``into``.
    """
    node, content = _read(path)
    try:
        read = into.model_validate(content)
        if check is not None:
            check(read)
        return read
    except ValidationError as error:
        first = error.errors()[0]
        above, within = first["loc"], first["input"]
        deeper, expected = _named_key(first["msg"].removeprefix("Value error, "))
        cause: Exception = error
    except ValueError as error:
        above, within = (), content
        deeper, expected = _named_key(str(error))
        cause = error
    where = (*above, *deeper)
    raise InvalidDomain(
        f"{path}, line {_line_of(node, where)}: "
        f"{'.'.join(str(part) for part in where) or 'the file'} "
        f"is {_short(_value_at(within, deeper))}.",
        expected=expected,
        remedy="Correct that line; nothing was changed.",
    ) from cause


def _read(path: Path) -> tuple[yaml.Node, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(path, node)
            return node, yaml.safe_load(text)
    except InvalidDomain:
        raise
    except Exception as error:  # PyYAML's own errors, and those of its tags, such as `!!int ''`
        raise InvalidDomain(
            f"{path} cannot be read: {' '.join(str(error).split())}.",
            expected="a YAML file in UTF-8",
            remedy="Check the path and the indentation of the line named.",
        ) from error
    raise InvalidDomain(
        f"{path} holds no mapping.",
        expected="lines such as 'name: grocery'",
        remedy="Start from a file in features/domains/.",
    )


def _named_key(message: str) -> tuple[tuple[str, ...], str]:
    """Split a message into the key that it begins with and the rest."""
    found = re.fullmatch(r"([A-Za-z_][\w-]*(?:\.[\w-]+)*): (.+)", message, re.DOTALL)
    return (tuple(found[1].split(".")), found[2]) if found else ((), message)


def _value_at(content: Any, where: tuple[str, ...]) -> Any:
    for part in where:
        if isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            content = content.get(part) if isinstance(content, dict) else None
    return content


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.YAMLError(f"line {line} has a key that is not a plain word")
        if key.value in seen:
            raise InvalidDomain(
                f"{path}, line {line}: {key.value!r} stands already in line {seen[key.value]}.",
                expected="each key once",
                remedy="Rename or delete one of the two; nothing was changed.",
            )
        seen[key.value] = line
        _refuse_repeated_keys(path, value)


def _line_of(node: yaml.Node, where: tuple[int | str, ...]) -> int:
    """Find the line of the deepest part of ``where`` that is in the file."""
    line = node.start_mark.line + 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and str(part).isdigit():
            node = node.value[int(part)]
            line = node.start_mark.line + 1
    return line


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
