"""Acceptances and returns are told after their delay, and nothing else is."""

from __future__ import annotations

import numpy as np

from training.simulation.business import MAX_DAYS, ActionOutcomes
from training.simulation.due_outcomes import due_outcomes


def test_acceptances_of_shown_actions_are_told_and_then_their_returns():
    accepted = np.array([True, True, False, True, True])
    returned = np.array([MAX_DAYS + 1, 7, 9, 4, MAX_DAYS])
    after = np.array([0, 3, 1, 2, 6])
    outcomes = ActionOutcomes(accepted, np.ones(5), np.ones(5), after, returned)
    told = [tuple(one) for one in due_outcomes(np.array([2, 1, 5, 0, 3]), outcomes)]
    assert told == [
        (0, 0, False),
        *[(1, 3, False), (1, 7, True)],  # 2 is ignored, and 3 is shown nothing
        *[(4, 6, False), (4, MAX_DAYS, True)],
    ]
