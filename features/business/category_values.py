"""Names for category values, which may be any texts, in the names of features and predictions.

A feature of a category counts one value, and its name tells which: ``basket_mission_fresh_n``. The
readable part of a value, its `slug`, is that part. Where two values of a list have one slug, as A+
and A- have, each gets its slug and a code of its characters: a_2b and a_2d.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from features.business.yaml_mistakes import Mistakes

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


def check_values(values: Sequence[str], mistakes: Mistakes) -> None:
    """Collect the values that cannot be told apart, or from a value that is unknown."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if not value.strip():
            expected = "a text; an empty cell of a table says that the value is unknown"
            mistakes.add(("values", index), expected, "Delete it.")
        elif value in seen:
            mistakes.add(("values", index), "each value once", "Delete one of the two.")
        seen.add(value)
