"""Impossible sizes and actions that are not allowed are refused."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.simulation.business import Arrivals
from training.simulation.checks import check_allowed, check_size


def test_only_actions_that_are_not_allowed_are_refused():
    whole = np.arange(2)
    allowed = np.array([[True, True], [True, False]])
    arrivals = Arrivals(whole, whole, np.zeros((2, 1)), allowed)
    check_allowed(arrivals, np.array([1, 0]))
    with pytest.raises(InvalidSetting, match="1 of 2 actions are not allowed"):
        check_allowed(arrivals, np.array([0, 1]))


def test_a_world_needs_a_customer_and_a_day():
    check_size(1, 365)
    with pytest.raises(InvalidSetting, match="days is 0. Expected a whole number from 1 to 365"):
        check_size(1, 0)
