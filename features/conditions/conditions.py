"""Vectorised conditions of the engagement policy, and formulas of arbitration.

A thousand actions have some three thousand conditions, and one decision evaluates all of them. An
interpreter takes microseconds for each. So all conditions are compiled once into one plan of some
ten numpy calls: equal subexpressions are computed once, and operations of the same kind and depth
are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.conditions.names import Names
from features.conditions.terms import Term

Texts = Mapping[str, str | None]


def _divide(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    unknown = np.full(left.shape, nan)
    divided: NDArray[np.float64] = np.divide(left, right, out=unknown, where=right != 0)
    return divided


def _coalesce(value: NDArray[np.float64], default: NDArray[np.float64]) -> NDArray[np.float64]:
    known: NDArray[np.float64] = np.where(np.isnan(value), default, value)
    return known


# The keys are rule-engine's names of the operations. Truths are 0 and 1. An unknown value is nan,
# which by IEEE 754 is neither equal to, above nor below anything.
OPERATIONS: dict[str, Callable[..., NDArray[Any]]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "tdiv": _divide,
    "minus": np.negative,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "unknown": np.isnan,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "coalesce": _coalesce,
    "choose": np.where,
}


class Conditions:
    """Many conditions, computed together.

    A compiled object does not change: it may be pickled, and used by several threads at once.

    Parameters
    ----------
    names : Names
        Names that the conditions may use.
    texts : sequence of str
        The conditions, shape (n_conditions,), in the language of `expressions`.
    terms : mapping of str to Term, or None
        The texts as they were parsed, if they were.

    Attributes
    ----------
    texts : tuple of str
        The conditions, to name the one that removed an action.

    Raises
    ------
    InvalidCondition
        For the first condition that breaks the language, uses an unknown name, or mixes kinds.

    Examples
    --------
    >>> names = Names({"churn": "number", "plan": "text"})
    >>> policy = Conditions(names, ["churn > 0.3", "plan == 'gold' or churn == null"])
    >>> policy.holds(np.array([nan]), {"plan": "silver"})
    array([False,  True])
    """

    def __init__(
        self, names: Names, texts: Sequence[str], terms: Mapping[str, Term] | None = None
    ) -> None:
        if terms is None:
            from features.conditions.expressions import Reader  # its library takes 0.4 s to import

            reader = Reader(names)
            terms = {text: reader.condition(text) for text in dict.fromkeys(texts)}
        self.texts = tuple(texts)
        self._names_in = {text: _names_in(term) for text, term in terms.items()}
        self._plan = _Plan([terms[text] for text in texts])
        self._positions = np.array([names.position[name] for name in self._plan.numbers], np.intp)

    def holds(self, numbers: NDArray[np.float64], texts: Texts) -> NDArray[np.bool_]:
        """Mask of the conditions that hold, shape (n_conditions,).

        Parameters
        ----------
        numbers : shape (n_numbers,)
            Values at ``Names.position``; ``nan`` is unknown.
        texts
            Values by name; ``None``, or no entry, is unknown.
        """
        held: NDArray[np.bool_] = self._plan.run(numbers[self._positions], texts) == 1
        return held

    def names_in(self, index: int) -> tuple[str, ...]:
        """The names that the condition at ``index`` uses, in the order of its text."""
        return self._names_in[self.texts[index]]


class Formula:
    """A formula that computes one number for each of n actions.

    Parameters
    ----------
    names : Names
        Names of values that are the same for each action.
    text : str
        Such as ``acceptance * context_weight * value * lever - cost``.
    of_each : sequence of str, at least one
        Names of numbers that differ between actions.

    Attributes
    ----------
    names : tuple of str
        The names that the formula uses, in the order of its text.
    term : Term
        The formula as it was parsed.

    Raises
    ------
    InvalidCondition
        If the formula breaks the language, uses an unknown name, or mixes kinds.
    """

    def __init__(self, names: Names, text: str, of_each: Sequence[str]) -> None:
        from features.conditions.expressions import Reader

        self.text = text
        self.term = Reader(Names({**names.kinds, **dict.fromkeys(of_each, "number")})).formula(text)
        self.names = _names_in(self.term)
        self._of_each = tuple(of_each)
        self._position = names.position
        self._plan = _Plan([self.term])

    def values(
        self, vectors: Mapping[str, NDArray[np.float64]], numbers: NDArray[np.float64], texts: Texts
    ) -> NDArray[np.float64]:
        """The formula's value for each action, shape (n,).

        The value is ``nan`` where a name is unknown, a divisor is 0 or a float overflows.

        Parameters
        ----------
        vectors : mapping of str to shape (n,)
            One for each name in ``of_each``.
        numbers, texts
            As for ``Conditions.holds``.
        """
        count = len(vectors[self._of_each[0]])
        used = np.empty((len(self._plan.numbers), count))
        for row, name in zip(used, self._plan.numbers, strict=True):
            row[:] = vectors[name] if name in self._of_each else numbers[self._position[name]]
        (values,) = self._plan.run(used, texts)
        return np.where(np.isfinite(values), values, nan)


class _Plan:
    """Computes many terms in few numpy calls; each term has a register.

    Registers stand in the order in which they are filled: numbers, texts, constants, then the
    operations, ordered by their depth and kind.

    Attributes
    ----------
    numbers, texts : tuple of str
        The names whose values ``run`` needs.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        keys: dict[Term, tuple[int, str]] = {}
        for term in terms:
            for part in term.parts():
                keys[part] = keys.get(part) or _sort_key(part, keys)
        registers = {term: at for at, term in enumerate(sorted(keys, key=keys.__getitem__))}
        names = [term for term in registers if term.op == "name"]
        self.numbers = tuple(str(name.value) for name in names if name.kind != "text")
        self.texts = tuple(str(name.value) for name in names if name.kind == "text")
        self._codes: dict[str, float] = {}
        self._start = np.full(len(registers), nan)
        for term, at in registers.items():
            if isinstance(term.value, float):
                self._start[at] = term.value
            elif term.op == "constant":
                self._start[at] = self._codes.setdefault(term.value, float(len(self._codes)))
        self._steps = []
        for _, together in groupby((term for term in registers if term.of), keys.__getitem__):
            group = list(together)
            first = registers[group[0]]
            of = np.array([[registers[part] for part in term.of] for term in group]).T
            self._steps.append((group[0].op, slice(first, first + len(group)), of))
        self._results = np.array([registers[term] for term in terms], np.intp)

    def run(self, numbers: NDArray[np.float64], texts: Texts) -> NDArray[np.float64]:
        """The values of all terms, shape (n_terms, ...), a truth being 0 or 1.

        Parameters
        ----------
        numbers : shape (len(self.numbers), ...)
            One value of each, or a vector of each.
        texts
            Values by name; ``None``, or no entry, is unknown.
        """
        registers = np.empty((len(self._start), *numbers.shape[1:]))
        # Transposed, so that one value for each register is broadcast over a vector.
        registers.T[...] = self._start
        registers[: len(numbers)] = numbers
        registers.T[..., len(numbers) : len(numbers) + len(self.texts)] = self._encoded(texts)
        with np.errstate(all="ignore"):
            for op, into, of in self._steps:
                registers[into] = OPERATIONS[op](*registers[of])
        return registers[self._results]

    def _encoded(self, texts: Texts) -> list[float]:
        """A code for each text; below 0 if no condition contains the text."""
        others: dict[str, float] = {}
        codes = []
        for name in self.texts:
            text = texts.get(name)
            if text is None:
                codes.append(nan)
            else:
                code = self._codes.get(text)
                codes.append(others.setdefault(text, -1.0 - len(others)) if code is None else code)
        return codes


def _sort_key(term: Term, keys: Mapping[Term, tuple[int, str]]) -> tuple[int, str]:
    """Sort key of a term: smaller keys are computed first, equal keys in one numpy call.

    ``keys`` must hold the keys of the parts of the term.
    """
    if term.op == "name":
        return -1, "text" if term.kind == "text" else "number"
    if term.op == "constant":
        return 0, ""
    return 1 + max(0, *(keys[part][0] for part in term.of)), term.op


def _names_in(term: Term) -> tuple[str, ...]:
    named = (str(part.value) for part in term.parts() if part.op == "name")
    return tuple(dict.fromkeys(named))
