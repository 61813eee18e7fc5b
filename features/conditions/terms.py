"""Terms: the parts of conditions and formulas, and the bounds of what they may cost.

A term is an operation on other terms, so a text becomes a tree. ``x in [1, 2]`` asks for x once
for each item. Nested, a text of a few hundred characters would become a tree of billions of terms.
Each term therefore knows its depth and its size, and `operation` refuses the first one that is
too deep or too large. So no tree is ever larger than the bounds, and none is walked to find out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

Kind = Literal["number", "text", "truth"]

MAX_DEPTH = 30  # nested operations: bounds the time to compute a term
MAX_SIZE = 1000  # terms: enough for the longest text, as long as no list repeats an operation


class Term(NamedTuple):
    """A part of an expression: a name, a constant, or an operation on other terms.

    Equal parts of many expressions are equal terms, so they are computed once.
    """

    op: str  # "name", "constant", or a key of `conditions.OPERATIONS`
    kind: Kind | Literal["null"]
    of: tuple[Term, ...] = ()
    value: str | float = ""
    depth: int = 0
    size: int = 1  # terms of the tree, the term itself among them

    def parts(self) -> Iterator[Term]:
        """All terms within the term, and at last the term itself."""
        for part in self.of:
            yield from part.parts()
        yield self


NULL = Term("constant", "null")
NO, YES = Term("constant", "truth", (), 0.0), Term("constant", "truth", (), 1.0)


class InvalidExpression(Exception):
    """The mistake, the expectation and the remedy; `InvalidCondition` adds the text."""


def operation(op: str, kind: Kind | Literal["null"], *of: Term) -> Term:
    """Make the term of an operation.

    Raises
    ------
    InvalidExpression
        If the term nests deeper than `MAX_DEPTH` or holds more than `MAX_SIZE` terms.
    """
    depth = 1 + max(part.depth for part in of)
    if depth > MAX_DEPTH:
        raise too_deep()
    size = 1 + sum(part.size for part in of)
    if size > MAX_SIZE:
        raise InvalidExpression(
            f"needs more than {MAX_SIZE:,} operations",
            "a list after 'in' that is short, or that has a name before it",
            "Each item of a list asks again for all that stands before 'in'. Shorten one of them.",
        )
    return Term(op, kind, of, "", depth, size)


def too_deep() -> InvalidExpression:
    """Make the refusal of an expression that nests too deep."""
    return InvalidExpression(
        "nests too deep",
        f"at most {MAX_DEPTH} operations in one another",
        "Split it, or take out what is not needed.",
    )


def balanced(op: str, terms: Sequence[Term]) -> Term:
    """Join terms in a balanced tree, because each level of depth costs time in a plan."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return operation(op, "truth", balanced(op, terms[:half]), balanced(op, terms[half:]))
