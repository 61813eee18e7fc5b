"""Tests draws of indexes and of arrival times."""

from __future__ import annotations

import numpy as np

from training.simulation.business import (
    FIRST_ARRIVAL_MINUTE,
    LAST_ARRIVAL_MINUTE,
    MORNING_MINUTE,
)
from training.simulation.draws import draw_arrival_minutes, sample_categorical


def test_indexes_are_drawn_by_inversion_and_never_with_probability_0():
    probabilities = np.tile([0.2, 0.0, 0.8, 0.0], (4, 1))
    found = sample_categorical(probabilities, np.array([0.0, 0.19, 0.21, 1.0]))
    assert found.tolist() == [0, 0, 2, 2]


def test_arrivals_are_after_the_morning_and_the_same_for_a_seed():
    minutes = draw_arrival_minutes(3_000, 7)
    assert (minutes == draw_arrival_minutes(3_000, 7)).all()
    assert (minutes != draw_arrival_minutes(3_000, 8)).any()
    assert MORNING_MINUTE < FIRST_ARRIVAL_MINUTE <= minutes.min()
    assert minutes.max() < LAST_ARRIVAL_MINUTE
