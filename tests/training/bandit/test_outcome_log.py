"""Tests the log of outcomes: the newest ones, in their order."""

from __future__ import annotations

import numpy as np
import pytest

from training.bandit.outcome_log import OutcomeLog


def filled(n: int, memory: int, at_once: int) -> OutcomeLog:
    log = OutcomeLog(2, memory)
    every = np.arange(n, dtype=float)
    for start in range(0, n, at_once):
        part = every[start : start + at_once]
        x = np.column_stack([part, -part])
        log.append(x, part.astype(np.intp) % 3, part * 10, np.ones(len(part)))
    return log


@pytest.mark.parametrize("at_once", [1, 7, 1500, 5000])
@pytest.mark.parametrize("n", [5, 2_000, 4_321])
def test_holds_the_newest_in_their_order(n, at_once):
    log = filled(n, memory=2_000, at_once=at_once)
    held = log.newest()
    expected = np.arange(max(0, n - 2_000), n)
    assert (len(log), log.total) == (len(expected), n)
    assert held.at.tolist() == expected.tolist()
    assert held.contexts.tolist() == np.column_stack([expected, -expected]).tolist()
    assert held.actions.tolist() == (expected % 3).tolist()
    assert held.rewards.tolist() == (expected * 10).tolist()
    assert log.newest(3).at.tolist() == expected[-3:].tolist()


def test_a_new_log_is_empty():
    assert filled(0, memory=10, at_once=1).newest().contexts.shape == (0, 2)
