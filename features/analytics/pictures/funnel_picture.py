"""A funnel as a picture: a bar for each step, what stopped the others, and where they went instead.

The part of a bar that may still go on is hatched: these journeys have not dropped off.
"""

from __future__ import annotations

from collections.abc import Iterator

from features.analytics.nodes import END_LABEL
from features.analytics.pictures.figures import count, duration, percent, several
from features.analytics.pictures.svg import (
    LETTER,
    Address,
    Markup,
    cut,
    element,
    hatching,
    label,
    link,
    picture,
)
from features.analytics.views.funnels.funnels import Funnel, FunnelStep
from features.analytics.views.lists import Number

WIDTH, ROW, TOP = 1180.0, 50.0, 8.0
LINE = 17.0  # of numbers below a bar
LEFT, BAR = 220.0, 640.0  # where the bars begin, and how long all journeys are
INSTEAD = 4  # of the steps that came instead; the table has all
STILL = "open"
# The ways in which journeys stop, in words.
STOPS = {
    "open": "still open",
    "too_late": "too late",
    "excluded": "excluded step first",
}


def funnel_picture(found: Funnel, address: Address) -> Markup:
    """Draw a funnel; a bar is as long as the share of all journeys."""
    whole = found.journeys.n
    said = f"Funnel of {several(whole, 'journey')} over {several(len(found.steps), 'step')}"
    rows, y = [_row("All journeys", found.journeys, found, TOP, whole, address)], TOP
    y += _height(found)
    for step in found.steps:
        name = f"{step.name} (optional)" if step.optional else step.name
        rows.append(_row(name, step.reached, step, y, whole, address))
        y += _height(step)
    linked = address(found.journeys.rows) is not None
    return picture(said, WIDTH, y, "bars", hatching("funnel"), *rows, links=linked)


def _height(of: Funnel | FunnelStep) -> float:
    lines = any(one.n for one in of.stopped.values()), bool(of.next_instead)
    return ROW + LINE * sum(lines)


def _row(
    name: str, reached: Number, of: Funnel | FunnelStep, y: float, whole: int, address: Address
) -> Markup:
    share = reached.n / whole if whole else 0.0
    took = of.median_s if isinstance(of, FunnelStep) else None
    times = f"half within {duration(took)}" if took else ""
    stopped = [(STOPS.get(how, how), one) for how, one in of.stopped.items() if one.n]
    went = [("nothing more" if to == END_LABEL else to, one) for to, one in of.next_instead]
    return element(
        "g",
        label(name, 32, x=LEFT - 14, y=y + 19, class_="name end"),
        label(times, x=LEFT - 14, y=y + 36, class_="soft end"),
        element("rect", class_="track", x=LEFT, y=y + 4, width=BAR, height=24),
        element("rect", class_="bar", x=LEFT, y=y + 4, width=BAR * share, height=24),
        *_still_open(of.stopped.get(STILL), share, whole, y),
        link(
            address(reached.rows),
            f"{name}: {several(reached.n, 'journey')}, {percent(share)} of all",
            label(several(reached.n, "journey"), x=LEFT + BAR + 12, y=y + 21, class_="count"),
        ),
        label(percent(share), x=WIDTH - 40, y=y + 21, class_="name end"),
        *_numbers(name, "stopped here:", stopped, y + 28 + LINE, address),
        *_numbers(name, "next instead:", went[:INSTEAD], y + 28 + 2 * LINE, address),
    )


def _still_open(still: Number | None, share: float, whole: int, y: float) -> Iterator[Markup]:
    if still is not None and still.n and whole:
        wide = BAR * still.n / whole
        x = LEFT + BAR * share - wide
        yield element("rect", x=x, y=y + 4, width=wide, height=24, fill="url(#funnel-hatch)")


def _numbers(
    name: str, title: str, parts: list[tuple[str, Number]], y: float, address: Address
) -> Iterator[Markup]:
    """Write numbers in one line, each a link."""
    if not parts:
        return
    yield label(title, x=LEFT, y=y, class_="soft")
    x = LEFT + LETTER * len(title) + 6
    for what, number in parts:
        told = f"{cut(what, 32)} {count(number.n)}"
        said = f"{name}, {title} {what}: {several(number.n, 'journey')}"
        yield link(address(number.rows), said, label(told, x=x, y=y, class_="count"))
        x += LETTER * len(told) + 18
