"""The figures of the pictures as lists and tables of XHTML: for phones, paper and screen readers.

They have the same numbers and links as the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.pictures.figures import NONE, count, duration, moment, percent, several
from features.analytics.pictures.funnel_picture import STOPS
from features.analytics.pictures.map_layout import MapLayout
from features.analytics.pictures.promises_picture import lateness, title_of
from features.analytics.pictures.svg import XHTML, Address, Markup, element, name_of
from features.analytics.pictures.ways_picture import in_words
from features.analytics.views.funnels.conversion_times import ConversionTimes
from features.analytics.views.funnels.funnels import Funnel, FunnelStep
from features.analytics.views.lists import Number
from features.analytics.views.maps.journey_map import JourneyMap, MapEdge, MapNode
from features.analytics.views.maps.ways import Ways
from features.analytics.views.promised.promises import PromiseView

UNIT = "journey"


def number_link(number: Number, unit: str, address: Address, told: str | None = None) -> Markup:
    """Write a number as a link to its list, with its unit for people who do not see it."""
    where, shown = address(number.rows), told or count(number.n)
    if where is None:
        return element("span", shown)
    return element("a", shown, href=where, aria_label=several(number.n, unit))


def map_table(found: JourneyMap, layout: MapLayout, address: Address) -> Markup:
    """List each stage with its nodes, and where journeys went from each of them."""
    stage_of = {
        label: block.title
        for label, (column, _) in layout.places.items()
        for block in layout.stages
        if block.first <= column < block.first + block.size
    }
    order = [block.title for block in layout.stages]

    def place(one: MapNode) -> tuple[int, int, int]:
        column, row = layout.places[one.label]
        return order.index(stage_of[one.label]), row, column

    ordered = sorted(found.nodes, key=place)
    begins = [one for one in found.edges if one.source == START_LABEL]
    parts = [
        element("h4", "Start"),
        element("ul", _stop(found, None, begins, address), class_="stops"),
    ]
    for stage, nodes in groupby(ordered, key=lambda one: stage_of[one.label]):
        stops = [
            _stop(found, one, [edge for edge in found.edges if edge.source == one.label], address)
            for one in nodes
        ]
        parts += [element("h4", stage), element("ul", *stops, class_="stops")]
    return _box(*parts)


def ways_table(found: Ways, address: Address) -> Markup:
    """List the ways with the journeys that went them, and how they ended."""
    hows = tuple(found.ways[0].how) if found.ways else ()
    heads = ("Way", "Journeys", "Share", *(how.capitalize() for how in hows), "Half", "9 of 10")
    rows = [
        (
            name_of(in_words(one.steps), 200),
            number_link(one.n, UNIT, address),
            percent(one.share),
            *(number_link(one.how[how], f"{UNIT} {how}", address) for how in hows),
            duration(one.median_s),
            duration(one.p90_s),
        )
        for one in found.ways
    ]
    if found.others.n:
        told = several(found.distinct - len(found.ways), "other way")
        share = percent(found.others.n / found.journeys.n)
        empty = [""] * (len(hows) + 2)
        rows.append((told, number_link(found.others, UNIT, address), share, *empty))
    return _table(f"Unit: journeys; all are {count(found.journeys.n)}.", heads, rows)


def funnel_table(found: Funnel, address: Address) -> Markup:
    """List the steps of a funnel, what stopped journeys there, and what came instead."""
    whole = found.journeys.n
    heads = ("Step", "Journeys", "Share", "Stopped here", "Next instead", "Half within", "9 of 10")
    rows = [_funnel_row("All journeys", found.journeys, found, whole, address)]
    for one in found.steps:
        name = f"{one.name} (optional)" if one.optional else one.name
        rows.append(_funnel_row(name, one.reached, one, whole, address))
    return _table("Unit: journeys. Times since the step before.", heads, rows)


def promises_table(found: Sequence[PromiseView], address: Address) -> Markup:
    """List promises with their states, and the open ones that are due next."""
    heads = ("Promise", "Kept", "Broken", "Open", "Void", "Kept of decided", "Late", "Owner")
    rows = [
        (
            element("span", name_of(one.words, 200), " ", element("small", title_of(one))),
            *(
                number_link(number, f"promise {state}", address)
                for state, number in _states(one).items()
            ),
            percent(one.kept_share),
            lateness(one) or NONE,
            one.owner or NONE,
        )
        for one in found
    ]
    due = [(one, each) for one in found for each in one.due]
    listed = [
        (
            name_of(one.words),
            name_of(each.customer_id),
            moment(each.due_us),
            f"{each.hours_left:,.1f} h",
        )
        for one, each in due
    ]
    tables = [_table("Unit: activations of a promise.", heads, rows)]
    if listed:
        tables.append(_table("Due next.", ("Promise", "Customer", "Due", "Left"), listed))
    return _box(*tables)


def times_table(found: ConversionTimes, address: Address) -> Markup:
    """List the share that has converted by each day, with its interval."""
    heads = ("Day", "Converted", "Between", "Ended without", "Still watched", "Complete")
    rows = [
        (
            f"{one.day:g}",
            percent(one.share),
            f"{percent(one.low)} and {percent(one.high)}",
            percent(one.stopped_share),
            count(one.at_risk),
            "yes" if one.is_complete else "no",
        )
        for one in found.curve
    ]
    states = {
        "converted": found.converted,
        "ended without": found.stopped,
        "waiting": found.waiting,
    }
    parts = [(name, number_link(number, UNIT, address)) for name, number in states.items()]
    return _box(
        _table(f"Unit: journeys; all are {count(found.journeys.n)}.", ("State", "Journeys"), parts),
        _table("Shares of all, with intervals of 95 %.", heads, rows),
    )


def _stop(
    found: JourneyMap, node: MapNode | None, edges: Iterable[MapEdge], address: Address
) -> Markup:
    """Write a node with its numbers, and the nodes that came then."""
    then = [_then(one, address) for one in edges]
    source = START_LABEL if node is None else node.label
    for other in (one for one in found.other_ways if one.source == source):
        told = f"{percent(other.share)} other ways "
        then.append(element("li", told, "(", number_link(other.n, "transition", address), ")"))
    if node is None:
        head = [number_link(found.journeys, UNIT, address, several(found.journeys.n, UNIT))]
    else:
        share = percent(node.journeys.n / found.journeys.n) if found.journeys.n else NONE
        head = [
            element("strong", name_of(node.label)),
            Markup(": "),
            number_link(node.visits, "visit", address, several(node.visits.n, "visit")),
            Markup(" in "),
            number_link(node.journeys, UNIT, address, several(node.journeys.n, UNIT)),
            element("span", f" ({share} of all)"),
        ]
    listed = [element("div", "then: ", element("ul", *then), class_="then")] if then else []
    return element("li", element("div", *head), *listed)


def _then(one: MapEdge, address: Address) -> Markup:
    to = element("span", "the end") if one.target == END_LABEL else name_of(one.target)
    within = "" if one.median_s is None else f", half within {duration(one.median_s)}"
    return element(
        "li",
        f"{percent(one.share)} ",
        to,
        " (",
        number_link(one.n, "transition", address),
        f"{within})",
    )


def _funnel_row(
    name: str, reached: Number, one: Funnel | FunnelStep, whole: int, address: Address
) -> tuple[str, ...]:
    stopped = {STOPS.get(how, how): number for how, number in one.stopped.items() if number.n}
    instead = {"nothing more" if to == END_LABEL else to: number for to, number in one.next_instead}
    step = isinstance(one, FunnelStep)
    return (
        name_of(name),
        number_link(reached, UNIT, address),
        percent(reached.n / whole if whole else None),
        _numbers(stopped, address),
        _numbers(instead, address),
        duration(one.median_s if step else None),
        duration(one.p90_s if step else None),
    )


def _numbers(parts: Mapping[str, Number], address: Address) -> Markup:
    items = [
        element("li", name_of(name), " ", number_link(number, f"{UNIT} {name}", address))
        for name, number in parts.items()
    ]
    return element("ul", *items) if items else Markup(NONE)


def _states(one: PromiseView) -> dict[str, Number]:
    return {"kept": one.kept, "broken": one.broken, "open": one.open, "void": one.void}


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    written = [element("tr", *_cells(heads, row)) for row in rows]
    head = element("thead", element("tr", *(element("th", one, scope="col") for one in heads)))
    return _box(element("table", element("caption", caption), head, element("tbody", *written)))


def _cells(heads: Sequence[str], row: Sequence[str]) -> Iterator[Markup]:
    """Write a row; a phone shows the head of a column before each cell."""
    first, *others = row
    yield element("th", first, scope="row")
    for head, one in zip(heads[1:], others, strict=True):
        # Numbers and figures are aligned to the right; lists and names are not.
        listed = one.startswith(("<ul", "<bdi", "<span><bdi"))
        yield element("td", one, class_=None if listed else "n", data_head=head)


def _box(*children: str) -> Markup:
    return element("div", *children, xmlns=XHTML, class_="figures-of")
