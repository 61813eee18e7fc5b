"""One page of HTML with the pictures and tables of journeys: for paper, and to send around.

It needs nothing else: its looks are inside, and it has no script, link or address.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from features.analytics.pictures.drawn_views import draw_view
from features.analytics.pictures.figures import count, percent
from features.analytics.pictures.standalone import style
from features.analytics.pictures.svg import Markup, element, name_of, no_address
from features.analytics.views.filters import JourneyFilter
from features.business.domain import Domain
from serving.contract.journeys import JourneysAnswer

MOST_EDGES = 60  # of a map on paper; a report asks for no more, and counts the others
TITLES = {
    "map": "Map: what customers do, and what follows",
    "funnel": "Funnel: how far they get",
    "ways": "Ways: from the first step to the last",
    "promises": "Promises: what was said, and what happened",
    "times": "Time to convert",
}
STYLE = """
:root { color-scheme: light; }
body { font: 11pt/1.5 system-ui, sans-serif; color: #1d2327; background: #fff; margin: 0 auto;
       max-width: 1180px; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 1.6rem 0 .5rem; }
p.about { color: #5d676d; margin: .2rem 0 0; } section { break-inside: avoid-page; }
svg.picture, svg.picture.map { max-width: 100%; height: auto; } .figures-of { margin-top: .8rem; }
footer { color: #5d676d; margin-top: 2rem; font-size: .85em; }
@page { size: A4; margin: 14mm; }
@media print { body { padding: 0; font-size: 9.5pt; } .figures-of { font-size: .9em; } }
"""


def report_html(answer: JourneysAnswer, domain: Domain) -> str:
    """Write the report of an answer: each view that has a picture, with its table.

    Parameters
    ----------
    answer
        Of the view ``page``, or of one view that has a picture.
    """
    views: dict[str, Any] = {name: getattr(answer, name) for name in TITLES}
    parts = [
        part
        for name, found in views.items()
        if found is not None
        for part in _section(domain, TITLES[name], found)
    ]
    title = f"Journeys of {domain.name}: {answer.filter.map}"
    head = element(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", Markup(f"{style()}{STYLE}")),
    )
    body = element(
        "body",
        element("h1", "Journeys of ", name_of(domain.name), ": ", name_of(answer.filter.map)),
        element("p", *_about(answer), class_="about"),
        *parts,
        element("footer", "Shares are rounded; counts are exact. Medians are within 2.2\u00a0%."),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def filter_in_words(wanted: JourneyFilter) -> str:
    """Tell the period and the other parts of a filter."""
    since, until = _day(wanted.since), _day(wanted.until)
    period = {
        (False, False): "all journeys",
        (True, False): f"journeys that began {since} or later",
        (False, True): f"journeys that began before {until}",
        (True, True): f"journeys that began from {since} until before {until}",
    }[wanted.since is not None, wanted.until is not None]
    parts = {
        "ended": wanted.how,
        "first channel": wanted.entry_channel,
        "account": wanted.account,
        "persona": wanted.persona,
        "through": () if wanted.through is None else (wanted.through,),
        **wanted.attributes,
    }
    told = [
        f"{name} {' or '.join('unknown' if one is None else one for one in values)}"
        for name, values in parts.items()
        if values
    ]
    return "; ".join([period, *told])


def _about(answer: JourneysAnswer) -> Iterator[str]:
    yield f"Unit: journeys. Filter: {filter_in_words(answer.filter)}. "
    yield f"As of {answer.as_of:%Y-%m-%d %H:%M} UTC"
    yield f", {count(round(answer.age_s))} s old. Data version {answer.data_version}."
    if answer.known_at is not None:
        yield f" As it was known at {answer.known_at:%Y-%m-%d %H:%M} UTC."
    if answer.erased:
        yield f" {count(answer.erased)} customers were erased since and are not counted."
    if answer.waiting:
        yield f" {count(answer.waiting)} customers have newer events."
    if answer.map is not None and answer.map.transitions.n:
        shown = 1 - answer.map.bundled.n / answer.map.transitions.n
        yield f" The map draws {percent(shown)} of the transitions."


def _section(domain: Domain, title: str, found: Any) -> Iterator[Markup]:
    drawn = draw_view(domain, found, no_address)
    yield element(
        "section",
        element("h2", title),
        Markup(drawn.sentence),
        Markup(drawn.picture),
    )
    yield Markup(drawn.table)


def _day(at: date | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d}"
