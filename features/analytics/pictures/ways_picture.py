"""The ways that journeys took, the most frequent first: a bar, a number, and chips of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from features.analytics.pictures.figures import count, duration, percent, several
from features.analytics.pictures.svg import (
    LETTER,
    Address,
    Markup,
    cut,
    element,
    label,
    link,
    picture,
)
from features.analytics.views.maps.ways import Way, Ways

WIDTH, ROW, TOP = 1180.0, 34.0, 30.0
BAR, CHIPS = 110.0, 336.0  # width of the longest bar, and where the chips begin
LETTERS = 24  # of a chip


def ways_picture(found: Ways, address: Address) -> Markup:
    """Draw the ways; a bar is as long as the share of all journeys."""
    whole = found.journeys.n
    height = TOP + ROW * (len(found.ways) + (found.others.n > 0)) + 6
    said = (
        f"{count(found.distinct)} ways of {several(whole, 'journey')}, "
        f"the {len(found.ways)} most frequent drawn"
    )
    heads = (
        label("journeys", x=64, y=18, class_="unit end"),
        label("share of all", x=76, y=18, class_="unit"),
        label("half within", x=CHIPS - 12, y=18, class_="unit end"),
        label("steps", x=CHIPS, y=18, class_="unit"),
    )
    rows = [_row(one, TOP + ROW * at, whole, address) for at, one in enumerate(found.ways)]
    if found.others.n:
        rows.append(_others(found, TOP + ROW * len(found.ways), whole, address))
    linked = any(address(one.n.rows) is not None for one in found.ways)
    return picture(said, WIDTH, height, "bars", *heads, *rows, links=linked)


def in_words(steps: Sequence[str]) -> str:
    """Tell the steps of a way, as in Wait ×3 → Closed."""
    return " → ".join(_times(step, number) for step, number in _runs(steps))


def _row(one: Way, y: float, whole: int, address: Address) -> Markup:
    share = one.n.n / whole if whole else 0.0
    said = f"{several(one.n.n, 'journey')} ({percent(share)}): {in_words(one.steps)}"
    return element(
        "g",
        link(
            address(one.n.rows),
            said,
            label(count(one.n.n), x=64, y=y + 17, class_="count end"),
        ),
        *_bar(share, y),
        label(duration(one.median_s), x=CHIPS - 12, y=y + 17, class_="soft end"),
        *_chips(one.steps, y),
    )


def _bar(share: float, y: float) -> Iterator[Markup]:
    yield element("rect", class_="track", x=76, y=y + 4, width=BAR, height=18)
    yield element("rect", class_="bar", x=76, y=y + 4, width=BAR * share, height=18)
    yield label(percent(share), x=84 + BAR, y=y + 17)


def _chips(steps: Sequence[str], y: float) -> Iterator[Markup]:
    x, runs = CHIPS, list(_runs(steps))
    for at, (step, number) in enumerate(runs):
        told = _times(cut(step, LETTERS), number)
        width = LETTER * len(told) + 16
        rest = len(runs) - at
        if x + width > WIDTH - (44 if rest > 1 else 0):
            yield element(
                "g",
                element("title", in_words(steps)),
                label(f"+ {rest} more", x=x, y=y + 17, class_="soft"),
            )
            return
        yield element(
            "g",
            element("title", step),
            element("rect", class_="chip", x=x, y=y + 2, width=width, height=22, rx=11),
            label(told, x=x + width / 2, y=y + 17, class_="middle"),
        )
        x += width + 6


def _others(found: Ways, y: float, whole: int, address: Address) -> Markup:
    share = found.others.n / whole if whole else 0.0
    more = found.distinct - len(found.ways)
    told = f"{several(more, 'other way')}"
    return element(
        "g",
        link(
            address(found.others.rows),
            f"{told}: {several(found.others.n, 'journey')} ({percent(share)})",
            label(count(found.others.n), x=64, y=y + 17, class_="count end"),
        ),
        *_bar(share, y),
        label(told, x=CHIPS, y=y + 17, class_="soft"),
    )


def _runs(steps: Sequence[str]) -> Iterator[tuple[str, int]]:
    for step, same in groupby(steps):
        yield step, len(list(same))


def _times(step: str, number: int) -> str:
    return step if number == 1 else f"{step} ×{number}"
