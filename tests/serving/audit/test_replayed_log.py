"""Judged decisions become arrays with a column for each action that any policy could draw."""

from __future__ import annotations

import numpy as np

from serving.audit.replayed_log import JudgedDecision, replayed_log

FIRST = JudgedDecision(
    customer_id="c1",
    channel="phone",
    action_id="letter",
    reward=3.0,
    features=np.array([7.0]),
    slots=1,
    logged={"letter": 0.5, "no_action": 0.5},
    decided={"letter": 0.9, "no_action": 0.1},
    evaluated={"new": 1.0},
)
SECOND = JudgedDecision(
    customer_id="c2",
    channel="app",
    action_id="no_action",
    reward=0.0,
    features=np.array([8.0]),
    slots=3,
    logged={"no_action": 1.0},
    decided={"no_action": 1.0},
    evaluated={"gone": 0.25, "no_action": 0.75},
)


def test_each_decision_has_its_row_and_each_action_its_column():
    log = replayed_log([FIRST, SECOND], ["never"], ("app", "phone"), {"late": 2, "none": 0})
    assert log.actions == ("gone", "letter", "never", "new", "no_action")
    assert log.logged.tolist() == [[0, 0.5, 0, 0, 0.5], [0, 0, 0, 0, 1]]
    assert log.decided.tolist() == [[0, 0.9, 0, 0, 0.1], [0, 0, 0, 0, 1]]
    assert log.evaluated.tolist() == [[0, 0, 0, 1, 0], [0.25, 0, 0, 0, 0.75]]
    assert log.action.tolist() == [1, 4]
    assert log.reward.tolist() == [3, 0]
    assert log.contexts.tolist() == [[7, 0, 1], [8, 1, 0]]
    assert log.customers == ("c1", "c2")
    assert log.several_slots == 1
    assert log.left_out == {"late": 2}


def test_without_decisions_the_arrays_are_empty():
    log = replayed_log([], ["letter"], ("app",), {})
    assert log.actions == ("letter", "no_action")
    assert len(log.reward) == len(log.contexts) == len(log.decided) == 0
