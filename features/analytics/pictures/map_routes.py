"""Lines between the nodes of a map: ahead as curves, back as arcs below, and loops on a node.

A route depends on the places of its two nodes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.analytics.pictures.svg import LETTER

Point = tuple[float, float]
# The places along a line at which its label may stand, best first.
_ALONG = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)
LABEL_HEIGHT = 15.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the picture, and the column of its node."""

    x: float
    y: float
    width: float
    height: float
    column: int = 0

    @property
    def middle(self) -> Point:
        """The point in its middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def meets(self, other: Box) -> bool:
        """Tell whether two rectangles have a point in common."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A cubic Bezier curve, by its four points."""

    points: tuple[Point, Point, Point, Point]

    @property
    def path(self) -> str:
        """Its commands in SVG."""
        start, *others = (f"{x:.0f} {y:.0f}" for x, y in self.points)
        return f"M{start}C{' '.join(others)}"

    def at(self, share: float) -> Point:
        """Return the point at a share of the parameter, from 0 to 1."""
        rest = 1 - share
        weights = (rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3)
        x, y = (
            sum(weight * point[axis] for weight, point in zip(weights, self.points, strict=True))
            for axis in (0, 1)
        )
        return x, y

    @property
    def lowest(self) -> float:
        """The greatest y along the curve, to a tenth of it."""
        return max(self.at(step / 10)[1] for step in range(11))


def line_between(source: Box, target: Box) -> Line:
    """Find the line from one node to another, or to itself."""
    if source == target:
        return _loop(source)
    if target.column > source.column:
        return _ahead(source, target)
    return _beside(source, target) if target.column == source.column else _back(source, target)


def label_box(line: Line, length: int, taken: Sequence[Box]) -> Box | None:
    """Find a free place on a line for a label of some letters; None if there is none."""
    width = LETTER * length + 8
    for share in _ALONG:
        x, y = line.at(share)
        box = Box(x - width / 2, y - LABEL_HEIGHT / 2, width, LABEL_HEIGHT)
        if not any(box.meets(other) for other in taken):
            return box
    return None


def _loop(box: Box) -> Line:
    right, y = box.x + box.width, box.y + box.height
    return Line(((right - 14, y), (right + 6, y + 44), (right - 84, y + 44), (right - 64, y)))


def _ahead(source: Box, target: Box) -> Line:
    (_, from_y), (_, to_y) = source.middle, target.middle
    # Lines that come from above end above those from below, so they do not cross at the node.
    lean = max(-14.0, min(14.0, (to_y - from_y) / 12))
    start = (source.x + source.width, from_y + lean)
    end = (target.x, to_y - lean)
    far = (end[0] - start[0]) / 2
    # In one row, a line over other nodes takes the way above them.
    over = -34.0 - 12 * (target.column - source.column)
    lift = over if target.column - source.column > 1 and abs(to_y - from_y) < 1 else 0.0
    return Line((start, (start[0] + far, start[1] + lift), (end[0] - far, end[1] + lift), end))


def _beside(source: Box, target: Box) -> Line:
    """In one column: down on the right side, and up on the left side."""
    down = target.y > source.y
    bend = 26 + abs(target.y - source.y) / 12
    if down:
        x = source.x + source.width
        start, end = (x, source.middle[1] + 12), (x, target.middle[1] - 12)
        return Line((start, (x + bend, start[1]), (x + bend, end[1]), end))
    x = source.x
    start, end = (x, source.middle[1] - 12), (x, target.middle[1] + 12)
    return Line((start, (x - bend, start[1]), (x - bend, end[1]), end))


def _back(source: Box, target: Box) -> Line:
    x, to_x = source.middle[0] - 14, target.middle[0] + 14
    y, to_y = source.y + source.height, target.y + target.height
    deep = max(y, to_y) + 34 + 14 * (source.column - target.column)
    return Line(((x, y), (x, deep), (to_x, deep), (to_x, to_y)))
