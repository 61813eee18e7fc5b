"""Finds all mistakes of a file: validates it, repairs what was refused, and validates it again.

A validator stops at the first level that is wrong: rules between several keys are checked only when
each key by itself is right. So a value that was refused is deleted, or replaced by a value that the
type accepts, and the rest is checked. A mistake that such a repair may have caused is not reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, date, datetime, time
from typing import Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel

from features.business.yaml_mistakes import STAND_IN, Mistake, Where
from features.business.yaml_types import NAME, Accepted, accepted, fields_of, is_model, place


class Refused(NamedTuple):
    """A mistake, and the length of the path to the model whose rule found it.

    ``rule`` is None for a mistake of one value by itself. ``told`` is True if another mistake says
    it already: a key that is missing because it is misspelled.
    """

    mistake: Mistake
    rule: int | None = None
    told: bool = False


class Repairs:
    """A copy of a file's content without the values that were refused.

    Parameters
    ----------
    model
        The type of the whole file.
    content : mapping
        Not changed.
    """

    def __init__(self, model: type[BaseModel], content: dict[str, Any]) -> None:
        self._model = model
        self.content = content
        self._made: list[Where] = []
        self._words = {
            STAND_IN,
            f"{STAND_IN}0",
        }  # of the values that are gone: names that others may refer to

    def explains(self, refused: Refused) -> bool:
        """True if a repair may have caused a mistake."""
        where, names = refused.mistake.where, refused.mistake.names
        for made in self._made:
            if made == where[: len(made)]:
                return True
            if names:
                continue
            if made[: len(where)] == where:
                return True
            rule = refused.rule
            if rule and made[:rule] == where[:rule] and rule + 1 in (len(made), len(where)):
                return True
        if names:
            return {name.casefold() for name in names} <= self._words
        value = value_at(self.content, where)
        used = re.findall(r"\w+", value.casefold()) if isinstance(value, str) else []
        # A condition names the key page of the context context_page.
        return not self._words.isdisjoint([*used, *(word.partition("_")[2] for word in used)])

    def make(self, where: Where) -> bool:
        """Delete or replace the value, or else the nearest one around it that can be.

        Returns
        -------
        bool
            False if nothing can be changed.
        """
        if not self._made:
            self.content = deepcopy(self.content)
        while where:
            above, part = where[:-1], where[-1]
            around = value_at(self.content, above)
            here = isinstance(around, dict) and part in around
            here = here or (isinstance(around, list) and int(part) < len(around))
            if where not in self._made and self._replace(above, part, around, here):
                self._made.append(where)
                return True
            where = above
        return False

    def _replace(self, above: Where, part: Any, around: Any, here: bool) -> bool:
        kinds = place(self._model, above)[1]
        models = [kind.base for kind in kinds if is_model(kind)]
        field = fields_of(models[0]).get(part) if models else None
        # A key that is not there is one that a rule asks for.
        needed = isinstance(around, list) or (
            field is not None and (field.is_required() or not here)
        )
        if not isinstance(around, dict | list) or not (here or needed):
            return False
        if here:
            self._words |= _words_of(around[part])
        if isinstance(around, dict):
            self._words.add(str(part).casefold())
            around.pop(part, None)
        if needed:
            inner = place(self._model, (*above, part))[1]
            around[part] = _stand_in(inner[0]) if inner else STAND_IN
        return True


def value_at(content: Any, where: Where) -> Any:
    """Return the value at a place; None if the content has no such place."""
    for part in where:
        if isinstance(content, list) and str(part).isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            content = content.get(part) if isinstance(content, dict) else None
    return content


def _words_of(value: Any) -> set[str]:
    return {word.casefold() for word in _words(value)}


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from _words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)
    elif isinstance(value, str):
        yield value


def _stand_in(kind: Accepted) -> Any:
    """Make a value that a type accepts."""
    base, args, limits = kind
    simple: dict[Any, Any] = {
        bool: False,
        date: date(2000, 1, 1),
        time: "00:00",
        datetime: datetime(2000, 1, 1, tzinfo=UTC),
        AwareDatetime: datetime(2000, 1, 1, tzinfo=UTC),
    }
    if base in simple:
        return simple[base]
    if base is Literal:
        return args[0]
    if base in (int, float):
        low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
        if low is None or high is None or base is int:
            return low + 1 if low is not None else high - 1 if high is not None else 0
        return (low + high) / 2
    if is_model(kind):
        needed = [key for key, one in fields_of(base).items() if one.is_required()]
        return {key: _stand_in(place(base, (key,))[1][0]) for key in needed}
    if base in (dict, tuple, list):
        item = accepted(args[-1 if base is dict else 0])[0]
        items = [_stand_in(item) for _ in range(limits.get("min_length", 0))]
        return (
            {f"{STAND_IN}{index}": one for index, one in enumerate(items)}
            if base is dict
            else items
        )
    if limits == {"min_length": 1}:
        return "true"  # a condition of the catalogue, which then holds always
    return "xxx" if limits.get("pattern", NAME) != NAME else STAND_IN
