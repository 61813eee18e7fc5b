"""Promises as a picture: for each a bar of those kept, broken, open and void.

Each part has a pattern of its own, so that it is told apart without colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.analytics.pictures.figures import count, duration, percent, several
from features.analytics.pictures.svg import (
    LETTER,
    Address,
    Markup,
    element,
    hatching,
    label,
    link,
    picture,
)
from features.analytics.views.lists import Number
from features.analytics.views.promised.promises import PromiseView

WIDTH, ROW, TOP = 1180.0, 92.0, 8.0
LEFT, BAR = 0.0, 1000.0
# The states, with the class and the pattern of each.
_LOOKS = {
    "kept": ("good", ""),
    "broken": ("bad", "hatch"),
    "open": ("open", "dots"),
    "void": ("void", ""),
}


def promises_picture(found: Sequence[PromiseView], address: Address) -> Markup:
    """Draw promises, one below the other; all bars have one length."""
    rows = [_row(one, TOP + ROW * at, address) for at, one in enumerate(found)]
    said = f"{several(len(found), 'promise')}: kept, broken, open and void"
    linked = any(address(one.kept.rows) is not None for one in found)
    return picture(
        said, WIDTH, TOP + ROW * len(found), "bars", hatching("promise"), *rows, links=linked
    )


def states_of(one: PromiseView) -> dict[str, Number]:
    """Return the four numbers of a promise, whose sum are its activations."""
    return {"kept": one.kept, "broken": one.broken, "open": one.open, "void": one.void}


def title_of(one: PromiseView) -> str:
    """Name a promise with its version."""
    return f"{one.name} (version {one.version} since {one.since})"


def lateness(one: PromiseView) -> str:
    """Tell how late it came where it came too late; empty if it never did."""
    if not one.late.n:
        return ""
    return (
        f"{count(one.late.n)} came late: half by {duration(one.late_median_s)}, "
        f"9 of 10 by at most {duration(one.late_p90_s)}"
    )


def _row(one: PromiseView, y: float, address: Address) -> Markup:
    said = "" if one.kept_share is None else f"{percent(one.kept_share)} kept of those decided"
    return element(
        "g",
        label(one.words, 110, x=LEFT, y=y + 13, class_="name"),
        label(said, x=WIDTH, y=y + 13, class_="name end"),
        *_bar(one, y + 20, address),
        *_figures(one, y + 60, address),
        label(lateness(one), x=WIDTH, y=y + 60, class_="soft end"),
    )


def _bar(one: PromiseView, y: float, address: Address) -> Iterator[Markup]:
    x, whole = LEFT, one.activations.n
    yield element("rect", class_="track", x=x, y=y, width=WIDTH, height=24)
    for state, number in states_of(one).items():
        if not number.n:
            continue
        wide = WIDTH * number.n / whole
        tone, pattern = _LOOKS[state]
        over = (
            [element("rect", x=x, y=y, width=wide, height=24, fill=f"url(#promise-{pattern})")]
            if pattern
            else []
        )
        yield link(
            address(number.rows),
            _said(one, state, number),
            element("rect", class_=f"part {tone}", x=x, y=y, width=wide, height=24),
            *over,
            tabindex="-1",
        )
        x += wide


def _figures(one: PromiseView, y: float, address: Address) -> Iterator[Markup]:
    x = LEFT
    for state, number in states_of(one).items():
        tone, pattern = _LOOKS[state]
        yield element("rect", class_=f"part {tone}", x=x, y=y - 10, width=12, height=12)
        if pattern:
            yield element(
                "rect", x=x, y=y - 10, width=12, height=12, fill=f"url(#promise-{pattern})"
            )
        told = f"{state} {count(number.n)}"
        yield link(
            address(number.rows),
            _said(one, state, number),
            label(told, x=x + 18, y=y, class_="count"),
        )
        x += LETTER * len(told) + 44
    if one.due_soon.n:
        told = f"due within 24 h {count(one.due_soon.n)}"
        yield link(
            address(one.due_soon.rows),
            f"{one.words}: {several(one.due_soon.n, 'promise')} open and due within 24 hours",
            label(told, x=x, y=y, class_="count"),
        )


def _said(one: PromiseView, state: str, number: Number) -> str:
    share = percent(number.n / one.activations.n) if one.activations.n else "–"
    return f"{one.words}: {several(number.n, 'promise')} {state}, {share} of all"
