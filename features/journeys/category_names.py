"""Names for category values, which may be any texts, in the names of features and predictions.

A feature of a category counts one value, and its name tells which: ``order_size_big_last_share``.
The value stands there as its `slug`. Where two values of a list have one slug, as A+ and A- have,
each gets a code of the characters that the slug does not show: a__41_2b and a__41_2d.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

_CODED = 24  # characters of a value that are written as codes; longer ones are hashed


def slug(value: str) -> str:
    """Turn a category value into letters, digits and underscores."""
    return "".join(c if c.isalnum() else "_" for c in value.lower())


def value_names(values: Sequence[str]) -> tuple[str, ...]:
    """Name each value of a category by letters, digits and underscores; all names differ.

    A name depends on the value and on which of the others share its slug, and not on their order.
    Values whose slugs differ have their slugs as names, as they had before others were allowed.
    """
    times = Counter(map(slug, values))
    names = [slug(value) if times[slug(value)] == 1 else _coded(value) for value in values]
    # A code may be the slug of another value: of "A+", "A-" and "a_2b", two would be a_2b.
    again = Counter(names)
    return tuple(
        name if again[name] == 1 else f"{name}_{_hashed(value)}"
        for name, value in zip(names, values, strict=True)
    )


def _coded(value: str) -> str:
    """Write a slug, and behind it each character that the slug has changed, in hexadecimal."""
    if len(value) > _CODED:
        return f"{slug(value)}_{_hashed(value)}"
    codes = [f"{ord(c):x}" for c in value if c != slug(c)]
    return "_".join([slug(value), *codes])


def _hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:12]
