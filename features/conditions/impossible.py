"""Finds conditions that can never hold, when the catalogue is read.

A condition is refused only if it is proved that it cannot hold: what an ``and`` asks of one name is
intersected, and an ``or`` is refused if each alternative is. What compares two names, or computes,
is taken to be possible. Cost: at most `terms.MAX_SIZE` times `terms.MAX_DEPTH` steps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, nextafter
from typing import NamedTuple

from features.conditions.declared_values import refuse_other_values
from features.conditions.names import Names
from features.conditions.terms import Term
from features.errors import InvalidCondition

_MIRRORED = {"eq": "eq", "ne": "ne", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
_OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


class _Possible(NamedTuple):
    """The values that a name can have where a condition holds."""

    unknown: bool = True
    low: float = -inf
    high: float = inf
    listed: frozenset[str] | None = None  # of a text; None: any
    excluded: frozenset[str | float] = frozenset()

    @property
    def is_empty(self) -> bool:
        no_number = self.low > self.high or (self.low == self.high and self.low in self.excluded)
        no_text = self.listed is not None and not self.listed - self.excluded
        return not self.unknown and (no_number or no_text)


_Asked = tuple[Term, bool]  # a term, and the truth that is asked of it


def refuse_impossible(text: str, term: Term, names: Names) -> None:
    """Refuse a condition that can never hold, or compares a text with what it can never be.

    Parameters
    ----------
    text
        The condition that was parsed into ``term``.

    Raises
    ------
    InvalidCondition
        Names the values that are allowed and the nearest one.
    """
    refuse_other_values(text, term, names)
    name = _contradicted([(term, True)], names, {})
    if name is not None:
        low, high = names.ranges.get(name, (-inf, inf))
        bounds = f", which lies between {low:g} and {high:g}," if high < inf else ""
        raise InvalidCondition(
            text,
            f"can never hold: no value of {name}{bounds} fulfils all that it asks",
            expected=f"a condition that holds for at least one value of {name}",
            remedy="Correct the values, or write or instead of and.",
        )


def first_excluded(terms: Sequence[Term], names: Names) -> tuple[int, str] | None:
    """Find the first of several conditions that cannot hold together with those before it.

    Returns
    -------
    int, str
        Its position and the name that they exclude each other about; None if all may hold.
    """

    def about(first: int) -> str | None:
        return _contradicted([(term, True) for term in terms[:first]], names, {})

    if about(len(terms)) is None:
        return None
    first = bisect_left(range(len(terms) + 1), True, key=lambda n: about(n) is not None)
    return first - 1, str(about(first))


def _contradicted(
    asked: Iterable[_Asked], names: Names, possible: dict[str, _Possible]
) -> str | None:
    """Find a name of which no value fulfils all that is asked; None if there may be one.

    Parameters
    ----------
    possible
        The values by name that remained before; changed in place.
    """
    alternatives = []
    for term, truth in _conjuncts(asked):
        if term.op in ("and", "or"):
            alternatives.append([(part, truth) for part in term.of])
            continue
        atom = _atom(term, truth)
        if atom is None:
            continue
        name, narrow = atom
        possible[name] = narrow(possible.get(name) or _all_of(name, names))
        if possible[name].is_empty:
            return name
    for alternative in alternatives:
        found = [_contradicted([one], names, possible.copy()) for one in alternative]
        if None not in found:
            return found[0]
    return None


def _all_of(name: str, names: Names) -> _Possible:
    low, high = names.ranges.get(name, (-inf, inf))
    listed = names.values.get(name)
    return _Possible(True, low, high, None if listed is None else frozenset(listed))


def _conjuncts(asked: Iterable[_Asked]) -> Iterator[_Asked]:
    """The parts that must all be as asked; an ``or`` that is asked to be true is one part."""
    for term, truth in asked:
        if term.op == "not":
            yield from _conjuncts([(term.of[0], not truth)])
        elif (term.op, truth) in (("and", True), ("or", False)):
            yield from _conjuncts((part, truth) for part in term.of)
        else:
            yield term, truth


def _atom(term: Term, truth: bool) -> tuple[str, Callable[[_Possible], _Possible]] | None:
    """The name that a comparison with a constant narrows, and how it narrows it; or None."""
    if term.op == "unknown" and term.of[0].op == "name":
        name = str(term.of[0].value)
        if truth:
            return name, lambda of: of._replace(low=inf, high=-inf, listed=frozenset())
        return name, lambda of: of._replace(unknown=False)
    if term.op not in _MIRRORED:
        return None
    op, (left, right) = term.op, term.of
    if left.op == "constant":
        op, left, right = _MIRRORED[op], right, left
    if left.op != "name" or right.op != "constant":
        return None
    # `not` of a comparison also holds where the name is unknown, as `!=` does.
    known = truth if op != "ne" else not truth
    op, value = op if truth else _OPPOSITE[op], right.value
    return str(left.value), lambda of: _narrowed(of, op, value, known)


def _narrowed(of: _Possible, op: str, value: str | float, known: bool) -> _Possible:
    if known:
        of = of._replace(unknown=False)
    if op == "ne":
        return of._replace(excluded=of.excluded | {value})
    if isinstance(value, str):
        only = frozenset({value})
        return of._replace(listed=only if of.listed is None else of.listed & only)
    if op in ("eq", "ge", "gt"):
        of = of._replace(low=max(of.low, nextafter(value, inf) if op == "gt" else value))
    if op in ("eq", "le", "lt"):
        of = of._replace(high=min(of.high, nextafter(value, -inf) if op == "lt" else value))
    return of
