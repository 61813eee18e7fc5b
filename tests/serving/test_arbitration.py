"""What an action is worth, in numbers and in words."""

from __future__ import annotations

import pytest

from features.catalog import Action, Prior
from serving.arbitration import priority, reasons


def an_action(value: float = 8.0, cost: float = 0.45, lever: float = 1.0) -> Action:
    return Action(
        issue="keep",
        group="promotion",
        value=value,
        cost=cost,
        lever=lever,
        prior=Prior(acceptance=0.1),
        attribution_days=7,
        treatments={"app": {"title": "Ten percent off"}},
    )


def test_matches_the_worked_example_in_the_docstring():
    assert priority(0.12, an_action()) == pytest.approx(0.51)


@pytest.mark.parametrize(
    ("acceptance", "action", "context_weight", "worth"),
    [
        (0.5, an_action(value=10, cost=1), 1.0, 4.0),
        (0.5, an_action(value=10, cost=1), 2.0, 9.0),
        (0.5, an_action(value=10, cost=1, lever=1.5), 1.0, 6.5),
        (0.5, an_action(value=10, cost=1, lever=1.5), 2.0, 14.0),
        (0.0, an_action(value=10, cost=1), 1.0, -1.0),
    ],
)
def test_weight_and_lever_multiply_the_value_and_never_the_cost(
    acceptance, action, context_weight, worth
):
    assert priority(acceptance, action, context_weight) == pytest.approx(worth)


def test_the_best_action_shows_its_sum():
    assert reasons(0.12, an_action(), gap=0.0, currency="eur") == [
        "12.0% chance of acceptance x 8.00 EUR - 0.45 EUR cost = 0.51 EUR",
        "Promises most of the allowed actions.",
    ]


def test_an_action_that_trails_admits_that_it_is_tried_to_learn():
    worth, why = reasons(0.12, an_action(), gap=0.3, currency="usd")
    assert worth.endswith("= 0.51 USD")
    assert why == "Tried to learn: the best action promises 0.30 USD more."


def test_a_lever_is_told_where_it_is_pulled():
    worth = reasons(0.5, an_action(value=10, cost=1, lever=1.5), gap=0.0, currency="eur")[0]
    assert worth == (
        "50.0% chance of acceptance x 10.00 EUR x lever 1.5 - 1.00 EUR cost = 6.50 EUR"
    )
