"""Small logs of the bench: open windows neither bend the value nor the gain over itself."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.bench.evaluate_open import Held, Judged, judge, show
from tests.bench.open_log import Course, draw_world
from training.params import load_params


@pytest.mark.parametrize("seed", [100, 103], ids=["learning", "pacing"])
def test_of_open_logs_the_truth_is_held_and_a_policy_gains_exactly_0_over_itself(seed):
    found = judge(seed, days=27, a_day=20)
    assert found.left_out > found.decisions > 100
    assert found.over_itself == (0.0, 0.0, 0.0)
    assert found.repeated == (0.0, 0.0, 0.0)
    same = [one for one in found.intervals if one.what.startswith("same")]
    assert len(same) == 5
    for one in same:
        # Wider than 95 %, because this is one log.
        assert one.value == pytest.approx(one.truth, abs=1.5 * one.width)


def test_the_worlds_differ_as_the_bench_says(ledger):
    worlds = [draw_world(seed, 50) for seed in range(4)]
    assert [one.learns for one in worlds] == [True, False, True, False]
    assert [bool(one.catalog.actions["long"].volume) for one in worlds] == [False] * 3 + [True]
    assert [one.waits.any() for one in worlds] == [True] * 3 + [False]
    course = Course(worlds[0], ledger, load_params(), np.random.default_rng(1))
    asyncio.run(course.live(3, 40))
    version = course.engine.setup.models.versions["bandit"]
    assert version is not None and version.startswith("prior.")


def test_the_true_worth_counts_only_what_is_shown():
    world = draw_world(0, 50)
    waits, at_once = (int(world.waits.argmax()), int(world.waits.argmin()))
    names = ("other", "short", "long", "no_action")
    worth = world.worth(names, (f"c{waits}", f"c{at_once}"))
    for row, customer, shown in ((0, waits, 0.6), (1, at_once, 1.0)):
        cost = world.catalog.actions["long"].cost
        expected = shown * (10 * world.chances[customer, 1] - cost)
        assert worth[row, 2] == pytest.approx(expected)
        assert worth[row, 3] == 0


def test_the_bench_fails_if_an_interval_misses_or_a_policy_gains_over_itself():
    right = Held("same, ips", 1.0, 1.0, 0.5, 1.5)
    missed, unsupported = right._replace(low=1.1), right._replace(low=None, high=None, value=None)
    zero = (0.0, 0.0, 0.0)
    logs = [Judged(seed, 10, 1, [right], zero, zero) for seed in range(10)]
    assert show(logs)
    one_missed = logs[0]._replace(intervals=[missed])
    assert show([one_missed, *logs[1:]])
    assert not show([one_missed, one_missed, *logs[2:]])
    assert show([logs[0]._replace(intervals=[unsupported]), *logs[1:]])
    assert not show([logs[0]._replace(intervals=[unsupported])])
    assert not show([logs[0]._replace(over_itself=(1e-18, 0.0, 0.0)), *logs[1:]])
    assert not show([logs[0]._replace(repeated=(1e-18, 0.0, 0.0)), *logs[1:]])
