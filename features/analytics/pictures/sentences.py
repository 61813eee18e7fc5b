"""Sentences that stand before a picture and say the main thing. Counts are links to their lists."""

from __future__ import annotations

from collections.abc import Sequence

from features.analytics.nodes import START_LABEL
from features.analytics.pictures.figures import count, duration, percent, several
from features.analytics.pictures.funnel_picture import STOPS
from features.analytics.pictures.svg import XHTML, Address, Markup, element, name_of
from features.analytics.pictures.tables import number_link
from features.analytics.pictures.ways_picture import in_words
from features.analytics.views.funnels.conversion_times import ConversionTimes
from features.analytics.views.funnels.funnels import Funnel
from features.analytics.views.maps.journey_map import JourneyMap
from features.analytics.views.maps.ways import Ways
from features.analytics.views.promised.promises import PromiseView


def map_in_words(found: JourneyMap, address: Address) -> Markup:
    """Tell how many journeys there are, how they ended, and how they mostly began."""
    if not found.journeys.n:
        return _said("There is no journey.", hint=_NONE)
    ends = {how: one for how, one in found.how.items() if one.n}
    parts: list[str] = [
        number_link(found.journeys, "journey", address, several(found.journeys.n, "journey")),
        " of ",
        number_link(found.customers, "customer", address, several(found.customers.n, "customer")),
        ": ",
    ]
    for at, (how, one) in enumerate(sorted(ends.items(), key=lambda item: -item[1].n)):
        parts += [", " if at else "", f"{percent(one.n / found.journeys.n)} {how}"]
    parts.append(". ")
    if found.p90_s:  # journeys of one step take no time
        parts.append(f"Half of those that ended took at most {duration(found.median_s)}, ")
        parts.append(f"9 of 10 at most {duration(found.p90_s)}. ")
    first = next((one for one in found.edges if one.source == START_LABEL), None)
    if first is not None and len(found.nodes) > 1:
        parts += ["Most begin with " if first.share > 0.5 else "The most frequent first step is "]
        parts += [name_of(first.target), f" ({percent(first.share)})."]
    return _said(*parts)


def ways_in_words(found: Ways) -> Markup:
    """Tell how many ways there are, and the most frequent one."""
    if not found.ways:
        return _said("There is no way to show.", hint=_NONE)
    first, shown = found.ways[0], sum(one.n.n for one in found.ways)
    together = ""
    if 1 < len(found.ways) < found.distinct:
        share = percent(shown / found.journeys.n)
        together = f" The {len(found.ways)} most frequent together: {share}."
    ways = "one way" if found.distinct == 1 else several(found.distinct, "different way")
    return _said(
        f"Journeys took {ways}. The most frequent one is ",
        name_of(in_words(first.steps), 200),
        f": {percent(first.share)} of the journeys.{together}",
    )


def funnel_in_words(found: Funnel, address: Address) -> Markup:
    """Tell how many journeys reach the end, and where most stop on the way."""
    required = [one for one in found.steps if not one.optional]
    if not found.journeys.n or not required:
        return _said("There is no journey.", hint=_NONE)
    last = required[-1]
    parts: list[str] = [
        number_link(last.reached, "journey", address),
        f" of {several(found.journeys.n, 'journey')} ({percent(last.share)}) reach ",
        name_of(last.name),
        ". ",
    ]
    before = [("the start", found.stopped), *((one.name, one.stopped) for one in required)]
    lost = [
        (one.n, name, how, one)
        for name, stops in before
        for how, one in stops.items()
        if how != "open"
    ]
    n, name, how, number = max(lost, key=lambda one: one[0], default=(0, "", "", last.reached))
    if n:
        parts += ["Most stop after ", name_of(name), ": ", number_link(number, "journey", address)]
        parts.append(f" {STOPS.get(how, how)}.")
    return _said(*parts)


def promises_in_words(found: Sequence[PromiseView], address: Address) -> Markup:
    """Tell the promise that is kept least often, and how many are due."""
    decided = [one for one in found if one.kept_share is not None]
    if not decided:
        return _said(
            "No promise is decided.",
            hint="Write promises under 'expected' of this journey in the domain file, or wait "
            "until the first ones are due.",
        )
    worst = min(decided, key=lambda one: one.kept_share or 0.0)
    parts: list[str] = [
        "Kept least often: ",
        name_of(worst.words, 200),
        f" – {percent(worst.kept_share)} of {count(worst.kept.n + worst.broken.n)} decided; ",
        number_link(worst.broken, "promise", address),
        " were broken. ",
    ]
    for one in found:
        if one.due_soon.n:
            parts += [
                number_link(one.due_soon, "promise", address),
                " of ",
                name_of(one.words, 200),
            ]
            parts.append(" are due within 24 hours. ")
    return _said(*parts)


def times_in_words(found: ConversionTimes, address: Address) -> Markup:
    """Tell by which day half have converted."""
    if not found.journeys.n:
        return _said("No journey waited for this step.", hint=_NONE)
    half = (
        "half had not converted within the days that are shown"
        if found.half_by_day is None
        else f"half have converted by day {found.half_by_day:g}"
    )
    return _said(
        "Of ",
        number_link(found.journeys, "journey", address, several(found.journeys.n, "journey")),
        f", {half}, with journeys that are still open counted right.",
    )


_NONE = "Choose a longer period, or leave out a filter."


def _said(*parts: str, hint: str = "") -> Markup:
    more = [" ", element("span", hint, class_="hint")] if hint else []
    return element("p", *parts, *more, xmlns=XHTML, class_="said")
