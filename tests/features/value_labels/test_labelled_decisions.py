"""Labelled decisions are made of arrays, chosen from, joined, and given for another catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.value_labels.labelled_decisions import GONE, joined, labelled_decisions

ACTIONS = ("call", "mail")
SHOWN = ["mail", "no_action", "letter", "call"]
CHANCES = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0], [0.25, 0.25, 0.25], [0.75, 0.0, 0.25]])


def some(**told):
    return labelled_decisions(ACTIONS, np.arange(8.0).reshape(4, 2), SHOWN, CHANCES, **told)


def test_what_is_not_told_is_unknown_or_nothing():
    made = some(margin=[1.0, 2.0, 3.0, 4.0], credited=[0.5, 0.0, 0.0, 4.0])
    assert made.n_decisions == 4
    assert made.shown.tolist() == [1, 2, GONE, 0]
    assert made.other_margin.tolist() == [0.5, 2.0, 3.0, 0.0]
    assert not made.is_looked.any() and np.isnan(made.later).all()
    assert made.weight.tolist() == [1.0] * 4


def test_who_left_is_told_by_the_days_until_then():
    made = some(left_after_days=[np.nan, 0.0, 7.0, 8.0])
    assert made.is_left().tolist() == [False, True, True, True]
    assert made.is_left(7).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"margins": [0.0] * 4}, "margins is no column"),
        ({"margin": [0.0]}, "margin has 1 rows; expected 4"),
        ({"chances": np.ones((4, 2))}, r"chances has shape \(4, 2\); expected \(4, 3\)"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(told, problem):
    with pytest.raises((ValueError, TypeError), match=problem):
        labelled_decisions(ACTIONS, np.zeros((4, 2)), SHOWN, told.pop("chances", CHANCES), **told)


def test_decisions_are_chosen_and_joined_again():
    made = some(customers=[3, 3, 5, 7], channels=["app", "app", "web", "web"])
    first, rest = made.take(np.array([0])), made.take(np.array([False, True, True, True]))
    assert rest.channels.tolist() == ["app", "web", "web"]
    again = joined([first, rest])
    for name, column in zip(made._fields[1:], again[1:], strict=True):
        assert np.array_equal(column, getattr(made, name), equal_nan=column.dtype.kind == "f")
    with pytest.raises(ValueError, match="several lists of actions"):
        joined([made, made.for_actions(("call",))])


def test_another_catalogue_keeps_the_chances_of_the_actions_that_it_has():
    made = some().for_actions(("letter", "mail"))
    assert made.shown.tolist() == [1, 2, GONE, GONE]
    assert made.chances.tolist() == [
        [0.0, 0.25, 0.25],
        [0.0, 0.0, 1.0],
        [0.0, 0.25, 0.25],
        [0.0, 0.0, 0.25],
    ]


def test_the_label_is_margin_less_cost_and_what_stays():
    made = labelled_decisions(
        ("mail",),
        np.zeros((3, 1)),
        ["mail", NO_ACTION, "mail"],
        np.full((3, 2), 0.5),
        margin=np.array([4.0, 4.0, 0.0]),
        cost=np.array([1.0, 0.0, 1.0]),
        remaining=np.array([100.0, 100.0, 10.0]),
        left_after_days=np.array([np.nan, 5.0, 0.0]),
    )
    assert made.labels().total.tolist() == [103.0, 4.0, -1.0]
    expected = made.labels(np.array([0.25, 0.5, 1.0]))
    assert expected.total.tolist() == [78.0, 54.0, -1.0]
