"""The report of an off-policy evaluation states the gain, or why the log does not support one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from serving.audit.evaluation_report import report_evaluation
from serving.audit.replayed_log import ReplayedLog

ACTIONS = ("discount", "letter", "no_action")


def a_log(
    n: int, evaluated: tuple[float, ...], left_out: Mapping[str, int] | None = None
) -> ReplayedLog:
    """Uniform logging: the discount earns about 1, the letter about 0."""
    rng = np.random.default_rng(20261128)
    action = rng.integers(0, 3, n)
    return ReplayedLog(
        actions=ACTIONS,
        reward=np.where(action == 0, 1.0, 0.0) + rng.normal(0, 0.1, n),
        action=action.astype(np.intp),
        logged=np.full((n, 3), 1 / 3),
        decided=np.full((n, 3), 1 / 3),
        evaluated=np.tile(evaluated, (n, 1)) if n else np.empty((0, 3)),
        contexts=rng.normal(size=(n, 2)),
        customers=tuple(f"c{number}" for number in range(n)),
        imported=np.zeros(n, dtype=np.bool_),
        several_slots=0,
        left_out=left_out or {},
        notes={},
    )


@pytest.mark.parametrize(
    ("evaluated", "verdict"),
    [
        ((0.9, 0.05, 0.05), "It would have earned more: +0.5"),
        ((0.05, 0.05, 0.9), "It would have earned less: -0.2"),
        ((1 / 3, 1 / 2, 1 / 6), "Not certain: "),
        ((1 / 3, 1 / 3, 1 / 3), "It is the policy that decided: +0.000"),
    ],
)
def test_the_verdict_follows_the_interval_of_the_gain(evaluated, verdict):
    view = report_evaluation(a_log(900, evaluated), "eur", seed=7)
    assert view.verdict.startswith(verdict) and " EUR a decision (" in view.verdict
    assert view.gain.low <= view.gain.value <= view.gain.high
    assert (view.decisions, view.customers) == (900, 900)
    assert view.decided == pytest.approx(1 / 3, abs=0.06)


def test_shares_come_by_size_with_no_action_last():
    view = report_evaluation(a_log(900, (0.3, 0.1, 0.6)), "eur", seed=7)
    assert [share.action_id for share in view.shares] == ["discount", "letter", "no_action"]
    assert [share.wanted for share in view.shares] == pytest.approx([0.3, 0.1, 0.6])
    assert sum(share.decided for share in view.shares) == pytest.approx(1)


def test_without_decisions_there_is_no_figure_but_a_reason():
    view = report_evaluation(a_log(0, (1, 0, 0), {"their outcomes may still come": 1200}), "eur", 7)
    assert view.verdict.startswith("Not enough support: there is no decision of that time")
    assert view.decided is view.gain is None and view.estimates == view.shares == []
    assert view.remarks[0] == "1,200 decisions are left out: their outcomes may still come."


@pytest.mark.parametrize("n", [3, 900], ids=["too_few_for_an_estimate", "enough"])
def test_a_policy_gains_exactly_0_over_itself(n):
    view = report_evaluation(a_log(n, (1 / 3, 1 / 3, 1 / 3)), "eur", seed=7)
    assert (view.gain.value, view.gain.low, view.gain.high) == (0.0, 0.0, 0.0)


def test_the_gain_is_over_the_policy_that_decided_not_over_its_control_group():
    log = replace(a_log(900, (0.9, 0.05, 0.05)), decided=np.tile((0.8, 0.1, 0.1), (900, 1)))
    gain = report_evaluation(log, "eur", seed=7).gain
    # The discount earns 1 and nothing else does: 0.9 - 0.8.
    assert gain.value == pytest.approx(0.1, abs=0.02)
    assert gain.low < 0.1 < gain.high


def test_decisions_with_several_slots_are_counted_and_said_to_be_judged_by_the_first():
    log = replace(a_log(900, (0.9, 0.05, 0.05)), several_slots=450)
    view = report_evaluation(log, "eur", seed=7)
    assert view.several_slots == 450
    assert "450 decisions have more than one slot: only the first slot is judged" in " ".join(
        view.remarks
    )
    plain = report_evaluation(a_log(900, (0.9, 0.05, 0.05)), "eur", seed=7)
    assert plain.several_slots == 0
    assert "slot" not in " ".join(plain.remarks)
