"""The map of journeys as a picture: nodes in fixed places, and lines as wide as their share.

Each number is a link to its list. A line that is too rare to be drawn is counted under "other
ways".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import hypot

from features.analytics.nodes import END_LABEL, START_LABEL
from features.analytics.pictures.figures import count, duration, percent, several
from features.analytics.pictures.map_layout import MapLayout
from features.analytics.pictures.map_routes import Box, Line, label_box, line_between
from features.analytics.pictures.svg import Address, Markup, element, label, link, picture
from features.analytics.views.maps.journey_map import JourneyMap, MapEdge, MapNode

WIDTH, HEIGHT = 152.0, 58.0  # of a node
STEP_X, STEP_Y = 230.0, 104.0  # from one column or row to the next
LEFT, TOP = 172.0, 56.0  # of the first node
ENDS = 92.0  # width of START and END
MOST_STOPS = 60  # lines that Tab reaches; of more, each is reached from the table
MOST_LABELS, RAREST_LABEL = 40, 0.005  # the latter as a share of the most frequent transition
THINNEST, WIDEST = 0.8, 12.0  # lines; the latter of the most frequent transition
LETTERS = 17  # of a line of text in a node


@dataclass
class _Drawing:
    """A map while it is drawn: the boxes of its nodes, and the lines."""

    found: JourneyMap
    layout: MapLayout
    address: Address
    boxes: dict[str, Box] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (column, row) in self.layout.places.items():
            x, y = LEFT + STEP_X * column, TOP + STEP_Y * row
            self.boxes[name] = Box(x, y, WIDTH, HEIGHT, column)
        columns = self.layout.columns
        self.boxes[START_LABEL] = Box(8, TOP, ENDS, HEIGHT, -1)
        self.boxes[END_LABEL] = Box(LEFT + STEP_X * columns, TOP, ENDS + 14, HEIGHT, columns)

    @property
    def width(self) -> float:
        end = self.boxes[END_LABEL]
        return end.x + end.width + 8


def map_picture(found: JourneyMap, layout: MapLayout, address: Address) -> Markup:
    """Draw a map with all its transitions; rare ones are those that it counts as other ways.

    Parameters
    ----------
    layout
        The places of the nodes; see `map_layout.lay_out`.
    """
    drawing = _Drawing(found, layout, address)
    lines = sorted(found.edges, key=lambda one: (-one.n.n, one.source, one.target))
    routes = [line_between(drawing.boxes[one.source], drawing.boxes[one.target]) for one in lines]
    numbers = {name: at for at, name in enumerate(drawing.boxes)}
    ends = (box.y + box.height for box in drawing.boxes.values())
    height = max([TOP + HEIGHT + 16 * len(found.how), *ends, *(one.lowest for one in routes)]) + 40
    return picture(
        f"Map of {found.map}: {several(found.journeys.n, 'journey')}, "
        f"{several(len(found.nodes), 'node')}, {several(len(lines), 'way')} drawn",
        drawing.width,
        height,
        "map",
        *_frame(drawing, height),
        *_expected_way(drawing),
        element("g", *_lines(drawing, lines, routes, numbers), class_="ways"),
        element("g", *_start(drawing), class_="nodes"),
        element("g", *_nodes(drawing, numbers), class_="nodes"),
        element("g", *_end(drawing, numbers), class_="nodes"),
        element("g", *_labels(drawing, lines, routes, numbers), class_="figures"),
        *_other_ways(drawing, height),
        links=address(found.journeys.rows) is not None,
    )


def edge_in_words(edge: MapEdge) -> str:
    """Tell a transition with its unit, share, and times."""
    told = f"{edge.source} → {edge.target}: {several(edge.n.n, 'transition')}"
    if edge.share is not None:
        whole = "journeys" if edge.source == START_LABEL else f"visits of {edge.source}"
        told += f", {percent(edge.share)} of the {whole}"
    if edge.median_s is not None:
        told += f"; half within {duration(edge.median_s)}, 9 of 10 within {duration(edge.p90_s)}"
    return told


def node_in_words(node: MapNode, journeys: int) -> str:
    """Tell a node with its units."""
    share = percent(node.journeys.n / journeys) if journeys else "–"
    return (
        f"{node.label}: {several(node.visits.n, 'visit')} "
        f"in {several(node.journeys.n, 'journey')} ({share})"
    )


def _frame(drawing: _Drawing, height: float) -> Iterator[Markup]:
    layout = drawing.layout
    for at, block in enumerate(layout.stages):
        x = LEFT + STEP_X * block.first - (STEP_X - WIDTH) / 2
        wide = STEP_X * block.size
        if at % 2 == 0:
            yield element("rect", class_="stage", x=x, y=0, width=wide, height=height)
        middle = x + wide / 2
        yield label(block.title, 24 * block.size, x=middle, y=22, class_="title")
    if len(layout.lanes) > 1:
        for block in layout.lanes:
            y = TOP + STEP_Y * block.first - (STEP_Y - HEIGHT) / 2
            if block.first:
                yield element("line", class_="lane", x1=0, x2=drawing.width, y1=y, y2=y)
            yield label(block.title, 14, x=8, y=y + 16, class_="lane")


def _expected_way(drawing: _Drawing) -> Iterator[Markup]:
    """Draw a pale band along the expected way, under the lines of what happened."""
    way = drawing.layout.way
    if way:
        stops = [drawing.boxes[name] for name in (START_LABEL, *way, END_LABEL)]
        path = "".join(line_between(one, other).path for one, other in pairwise(stops))
        said = element("title", f"Expected way: {' → '.join(way)}")
        yield element("g", said, element("path", d=path), class_="meant")


def _lines(
    drawing: _Drawing, lines: Sequence[MapEdge], routes: Sequence[Line], numbers: dict[str, int]
) -> Iterator[Markup]:
    """The lines themselves; Tab reaches their labels, not them."""
    # A loop is often the most frequent by far; the widest line is one between two nodes.
    greatest = max([1, *(one.n.n for one in lines if one.source != one.target)])
    # The rarest come first, so that they lie under the others.
    for one, line in reversed(list(zip(lines, routes, strict=True))):
        share = min(1.0, one.n.n / greatest)
        width = THINNEST + (WIDEST - THINNEST) * share
        tip, thin = _tip(line, 6 + 0.7 * width), width < 2 * THINNEST
        # The head of a thin line is a part of the line: many maps have hundreds of them.
        parts = [element("path", d=f"{line.path}{tip if thin else ''}", stroke_width=width)]
        if not thin:
            parts.append(element("path", class_="tip", d=tip))
        yield link(
            drawing.address(one.n.rows),
            edge_in_words(one),
            *parts,
            class_=f"way f{numbers[one.source]} t{numbers[one.target]}{_tone(share)}",
            tabindex="-1",
        )


def _tone(share: float) -> str:
    return " strong" if share > 0.25 else " rare" if share < 0.02 else ""


def _tip(line: Line, size: float) -> str:
    """Draw the head of an arrow: it says the direction without colour."""
    (before_x, before_y), (x, y) = line.at(0.93), line.points[3]
    away = max(hypot(x - before_x, y - before_y), 1e-9)
    along, across = size * (x - before_x) / away, size * (y - before_y) / away
    left = (x - along - across * 0.6, y - across + along * 0.6)
    right = (x - along + across * 0.6, y - across - along * 0.6)
    return "M" + "L".join(f"{one:.0f} {two:.0f}" for one, two in (left, (x, y), right))


def _nodes(drawing: _Drawing, numbers: dict[str, int]) -> Iterator[Markup]:
    whole = drawing.found.journeys.n
    by_place = sorted(drawing.found.nodes, key=lambda one: drawing.layout.places[one.label])
    for one in by_place:
        box = drawing.boxes[one.label]
        share = min(1.0, one.journeys.n / whole) if whole else 0.0
        empty = "" if one.visits.n else " empty"
        yield link(
            drawing.address(one.visits.rows),
            node_in_words(one, whole),
            *_box(box),
            *_name(one.label, box),
            label(several(one.visits.n, "visit"), x=box.x + 10, y=box.y + 47, class_="count"),
            label(percent(share), x=box.x + WIDTH - 10, y=box.y + 47, class_="share"),
            element("rect", class_="of", x=box.x, y=box.y + HEIGHT - 4, width=WIDTH, height=4),
            element(
                "rect", class_="bar", x=box.x, y=box.y + HEIGHT - 4, width=WIDTH * share, height=4
            ),
            class_=f"node n{numbers[one.label]}{empty}",
        )


def _box(box: Box) -> Iterator[Markup]:
    yield element("rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=6)


def _name(name: str, box: Box) -> Iterator[Markup]:
    """The name in one line or two; a longer one is cut, and whole in the title of the node."""
    x = box.x + 10
    if len(name) <= LETTERS:
        yield label(name, LETTERS, x=x, y=box.y + 26, class_="name")
        return
    at = name.rfind(" ", 0, LETTERS + 1)
    first, rest = (
        (name[:at], name[at + 1 :]) if at > 3 else (name[: LETTERS - 1] + "-", name[LETTERS - 1 :])
    )
    yield label(first, LETTERS, x=x, y=box.y + 17, class_="name")
    yield label(rest, LETTERS, x=x, y=box.y + 31, class_="name")


def _start(drawing: _Drawing) -> Iterator[Markup]:
    found, box = drawing.found, drawing.boxes[START_LABEL]
    yield link(
        drawing.address(found.journeys.rows),
        f"{several(found.journeys.n, 'journey')} of {several(found.customers.n, 'customer')} began",
        *_box(box),
        label("Start", x=box.x + 10, y=box.y + 20, class_="name"),
        label(count(found.journeys.n), x=box.x + 10, y=box.y + 36, class_="count"),
        label("journeys", x=box.x + 10, y=box.y + 50, class_="unit"),
        class_="node end",
    )


def _end(drawing: _Drawing, numbers: dict[str, int]) -> Iterator[Markup]:
    box = drawing.boxes[END_LABEL]
    tall = replace(box, height=HEIGHT + 16 * max(0, len(drawing.found.how) - 1))
    yield element(
        "g",
        *_box(tall),
        label("How it ended", x=box.x + 10, y=box.y + 20, class_="name"),
        class_=f"node end n{numbers[END_LABEL]}",
    )
    for at, (how, number) in enumerate(drawing.found.how.items()):
        yield link(
            drawing.address(number.rows),
            f"{how}: {several(number.n, 'journey')}",
            label(f"{how} {count(number.n)}", x=box.x + 10, y=box.y + 40 + 17 * at, class_="count"),
            class_="how",
        )


def _other_ways(drawing: _Drawing, height: float) -> Iterator[Markup]:
    found = drawing.found
    if drawing.layout.way:
        yield label("pale band: the expected way", x=8, y=height - 10, class_="soft")
    if found.bundled.n:
        kinds = sum(one.kinds for one in found.other_ways)
        said = f"Other ways: {several(found.bundled.n, 'transition')} of {several(kinds, 'kind')}"
        shown = label(said, x=LEFT + 12, y=height - 10, class_="count")
        yield link(drawing.address(found.bundled.rows), said, shown, class_="other")


def _labels(
    drawing: _Drawing, lines: Sequence[MapEdge], routes: Sequence[Line], numbers: dict[str, int]
) -> Iterator[Markup]:
    """The numbers on the greatest lines, where no other number and no node is."""
    taken = list(drawing.boxes.values())
    stop = None if len(lines) <= MOST_STOPS else "-1"
    rarest = RAREST_LABEL * max((one.n.n for one in lines), default=0)
    for one, line in list(zip(lines, routes, strict=True))[:MOST_LABELS]:
        if one.n.n < rarest:
            break
        told = count(one.n.n)
        box = label_box(line, len(told), taken)
        if box is None:
            continue
        taken.append(box)
        x, y = box.middle
        yield link(
            drawing.address(one.n.rows),
            edge_in_words(one),
            element("rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=3),
            label(told, x=x, y=y + 4),
            class_=f"number f{numbers[one.source]} t{numbers[one.target]}",
            tabindex=stop,
        )
