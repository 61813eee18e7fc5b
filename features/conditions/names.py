"""Names that conditions and formulas may use, known without the library that parses them."""

from __future__ import annotations

from collections.abc import Mapping

from features.conditions.terms import Kind


class Names:
    """The names that conditions and formulas of a business may use, and their kinds.

    Parameters
    ----------
    kinds : mapping of str to Kind
        In the order of the numbers of a decision context, where a truth is 0 or 1.
    values : mapping of str to tuple of str
        All values of those texts that cannot have other ones.
    ranges : mapping of str to (lowest, highest)
        Of those numbers that cannot lie outside; both bounds can occur.
    expected
        What the names are, for the sentence that refuses another one.

    Attributes
    ----------
    position : dict of str to int
        Position of each number or truth in the numbers; texts are passed by name.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        values: Mapping[str, tuple[str, ...]] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        expected: str = "a feature, a prediction, an attribute or a word of the context",
    ) -> None:
        self.kinds = dict(kinds)
        self.values = dict(values or {})
        self.ranges = dict(ranges or {})
        self.expected = expected
        in_row = (name for name, kind in kinds.items() if kind != "text")
        self.position = {name: index for index, name in enumerate(in_row)}
