"""Finds texts that a name can never be: ``gender == 'Female'`` where the values are F, M and O.

Such a comparison is refused wherever it stands in a condition or a formula, like an unknown name.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.conditions.names import Names
from features.conditions.terms import Term
from features.errors import InvalidCondition
from features.nearest_names import did_you_mean

SHOWN = 12  # values that a sentence names


def refuse_other_values(text: str, term: Term, names: Names) -> None:
    """Refuse a comparison of a text with a value that it can never have.

    Raises
    ------
    InvalidCondition
        Names the values that are allowed and the nearest one.
    """
    for part in term.parts():
        if part.op in ("eq", "ne"):
            for one, other in (part.of, part.of[::-1]):
                if other.op == "constant" and isinstance(other.value, str):
                    allowed = _values(one, names)
                    if allowed is not None and other.value not in allowed:
                        raise _never(text, one, other.value, allowed)


def _never(text: str, term: Term, value: str, allowed: Sequence[str]) -> InvalidCondition:
    named = str(term.value) if term.op == "name" else "a text"
    shown = ", ".join(repr(one) for one in allowed[:SHOWN])
    more = f" and {len(allowed) - SHOWN} more" if len(allowed) > SHOWN else ""
    return InvalidCondition(
        text,
        f"compares {named} with '{value}', which it can never be",
        expected=f"one of {shown}{more}" if allowed else "nothing, as it has no values",
        remedy=did_you_mean([value], allowed) or "Use one of these values.",
    )


def _values(term: Term, names: Names) -> tuple[str, ...] | None:
    """All values that a text can have; None if it can have any."""
    if term.op == "name":
        return names.values.get(str(term.value))
    if term.op == "constant":
        return (str(term.value),)
    of = [_values(part, names) for part in (term.of[1:] if term.op == "choose" else term.of)]
    known = [value for values in of if values is not None for value in values]
    return None if None in of else tuple(dict.fromkeys(known))
