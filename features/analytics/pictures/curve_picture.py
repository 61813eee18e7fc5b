"""The time to convert as a picture: the share that has taken the step by each day.

The band is the interval of 95 %. Days that not all journeys have lived through are hatched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from features.analytics.pictures.figures import percent, several
from features.analytics.pictures.svg import Address, Markup, element, hatching, label, link, picture
from features.analytics.views.funnels.conversion_times import ConversionDay, ConversionTimes
from features.analytics.views.lists import Number

WIDTH, HEIGHT = 1180.0, 320.0
LEFT, TOP, WIDE, HIGH = 64.0, 16.0, 860.0, 250.0
_LINES = (0.0, 0.25, 0.5, 0.75, 1.0)


def curve_picture(found: ConversionTimes, address: Address) -> Markup:
    """Draw the share of journeys that have converted by each day."""
    days = found.curve
    last = max((one.day for one in days), default=0.0) or 1.0
    said = (
        f"Time to convert: {several(found.converted.n, 'journey')} of "
        f"{several(found.journeys.n, 'journey')} within {last:g} days"
    )
    return picture(
        said,
        WIDTH,
        HEIGHT,
        "curve",
        hatching("curve"),
        *_axes(last),
        *_incomplete(found.complete_until_day, last),
        element("polygon", points=_band(days, last), class_="band"),
        element("polyline", points=_course(days, last), class_="course"),
        *_states(found, address),
        links=address(found.journeys.rows) is not None,
    )


def _x(day: float, last: float) -> float:
    return LEFT + WIDE * day / last


def _y(share: float) -> float:
    return TOP + HIGH * (1 - share)


def _axes(last: float) -> Iterator[Markup]:
    for share in _LINES:
        y = _y(share)
        yield element("line", class_="axis", x1=LEFT, x2=LEFT + WIDE, y1=y, y2=y)
        yield label(percent(share), x=LEFT - 8, y=y + 4, class_="soft end")
    every = max(1, ceil(last / 8))
    for day in range(0, int(last) + 1, every):
        yield label(f"{day}", x=_x(day, last), y=TOP + HIGH + 18, class_="soft middle")
    middle = LEFT + WIDE / 2
    yield label("days since the wait began", x=middle, y=TOP + HIGH + 38, class_="soft middle")


def _incomplete(until: float | None, last: float) -> Iterator[Markup]:
    """Hatch the days that some journeys have not lived through yet."""
    if until is not None and until < last:
        x = _x(until, last)
        wide = LEFT + WIDE - x
        yield element("rect", class_="pale", x=x, y=TOP, width=wide, height=HIGH)
        yield element("rect", x=x, y=TOP, width=wide, height=HIGH, fill="url(#curve-hatch)")
        yield label("not yet complete", x=x + 6, y=TOP + 14, class_="soft")


def _steps(points: Sequence[tuple[float, float]], last: float) -> list[tuple[float, float]]:
    """Make a staircase of points: a share holds until the next day."""
    found: list[tuple[float, float]] = []
    for day, share in points:
        if found:
            found.append((_x(day, last), found[-1][1]))
        found.append((_x(day, last), _y(share)))
    return found


def _band(days: Sequence[ConversionDay], last: float) -> str:
    above = _steps([(one.day, one.high) for one in days], last)
    below = _steps([(one.day, one.low) for one in days], last)
    return _points([*above, *below[::-1]])


def _course(days: Sequence[ConversionDay], last: float) -> str:
    return _points(_steps([(one.day, one.share) for one in days], last))


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _states(found: ConversionTimes, address: Address) -> Iterator[Markup]:
    parts: dict[str, Number] = {
        "waited": found.journeys,
        "converted": found.converted,
        "ended without": found.stopped,
        "still waiting": found.waiting,
    }
    for at, (name, number) in enumerate(parts.items()):
        y = TOP + 16 + 40 * at
        yield link(
            address(number.rows),
            f"{name}: {several(number.n, 'journey')}",
            label(several(number.n, "journey"), x=LEFT + WIDE + 32, y=y, class_="count"),
            label(name, x=LEFT + WIDE + 32, y=y + 15, class_="soft"),
        )
