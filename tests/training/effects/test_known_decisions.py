"""Decisions as a fit reads them: by the actions of the catalogue of today."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.value_labels.labelled_decisions import labelled_decisions
from training.effects.known_decisions import (
    centred_actions,
    credited_by_showing,
    is_ripe,
    known_decisions,
    other_purchases,
    sampled_decisions,
    watched_days,
)

CHANCES = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]])


def told():
    """Three decisions between a mail and a call."""
    shown = ["mail", "call", NO_ACTION]
    age = np.array([0.5, 1.0, 9.0])
    return labelled_decisions(("mail", "call"), np.zeros((3, 2)), shown, CHANCES, age_days=age)


def test_a_decision_for_an_action_that_is_gone_is_left_out_and_chances_add_up_to_1():
    found = known_decisions(told(), ("call", "new"))
    assert found.shown.tolist() == [0, 2]
    assert found.chances == pytest.approx(np.array([[0.25, 0.0, 0.75], [0.0, 0.0, 1.0]]))


def test_the_same_actions_change_nothing():
    some = told()
    assert known_decisions(some, ("mail", "call")) is some


def test_a_sample_is_joined_and_is_none_where_there_is_none():
    def read(every):
        return iter([told().take(np.s_[::every]), told().take(np.s_[:0])])

    assert sampled_decisions(read, 2, ("mail", "call")).shown.tolist() == [0, 2]
    assert sampled_decisions(lambda every: iter([]), 1, ("mail",)) is None


def test_a_decision_of_a_day_is_ripe():
    assert is_ripe(told()).tolist() == [False, True, True]


def test_the_purchases_of_young_decisions_are_extrapolated_to_the_horizon():
    some = told()._replace(margin=np.array([3.0, 4.0, 5.0]), credited=np.array([1.0, 0.0, 6.0]))
    margin, weight = other_purchases(some, 4.0)
    assert margin == pytest.approx([16.0, 16.0, -1.0])  # of an eighth, a quarter, and all
    assert weight == pytest.approx([0.125, 0.25, 1.0])


def test_what_the_acceptances_of_a_showing_bring_is_not_below_0():
    some = told()._replace(credited=np.array([3.0, 1.0, 50.0]))  # the last one showed nothing
    assert credited_by_showing(some) == 2.0
    assert credited_by_showing(some._replace(credited=np.full(3, -8.0))) == 0.0
    assert credited_by_showing(some.take(np.array([2]))) == 0.0


def test_a_customer_is_watched_until_it_leaves():
    some = told()._replace(left_after_days=np.array([np.nan, 0.0, 7.0]))
    assert watched_days(some, np.array([0.5, 1.0, 5.0])).tolist() == [0.5, 0.5, 5.0]


def test_the_indicator_of_each_action_less_its_chance():
    expected = [[0.5, -0.3], [-0.2, 0.8], [0.0, 0.0]]
    assert centred_actions(told()) == pytest.approx(np.array(expected))
