"""Lines of a map: their ends, and where their labels stand."""

from __future__ import annotations

from features.analytics.pictures.map_routes import Box, label_box, line_between

LEFT, RIGHT, FAR = (Box(x, 0, 100, 50, at) for at, x in enumerate((0, 200, 400)))
UNDER = Box(0, 100, 100, 50, 0)


def test_a_line_ahead_goes_from_the_right_side_to_the_left_side():
    line = line_between(LEFT, RIGHT)
    assert line.points[0] == (100, 25) and line.points[3] == (200, 25)
    assert line.path.startswith("M100 25C")


def test_a_line_over_another_node_goes_above_it():
    assert line_between(LEFT, FAR).at(0.5)[1] < RIGHT.y


def test_a_line_back_is_an_arc_below_both_nodes():
    assert line_between(FAR, LEFT).lowest > LEFT.y + LEFT.height
    assert line_between(FAR, LEFT).at(0.5)[1] > line_between(RIGHT, LEFT).at(0.5)[1]


def test_a_loop_is_below_its_node():
    line = line_between(LEFT, LEFT)
    assert {point[1] for point in (line.points[0], line.points[3])} == {50}
    assert line.lowest > 50


def test_down_and_up_in_one_column_are_on_two_sides():
    assert line_between(LEFT, UNDER).at(0.5)[0] > 100 > 0 > line_between(UNDER, LEFT).at(0.5)[0]


def test_the_ends_of_a_curve_are_its_first_and_last_point():
    line = line_between(LEFT, UNDER)
    assert line.at(0) == line.points[0] and line.at(1) == line.points[3]


def test_a_label_takes_a_free_place_on_its_line_or_none():
    line = line_between(LEFT, FAR)
    first = label_box(line, 5, [])
    assert first is not None and first.middle == line.at(0.5)
    second = label_box(line, 5, [first])
    assert second is not None and not second.meets(first)
    assert label_box(line, 5, [Box(-1000, -1000, 3000, 3000)]) is None
