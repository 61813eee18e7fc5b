from __future__ import annotations

import numpy as np
import pytest

from features.outcomes.delay_epochs import newest_epoch
from features.outcomes.examination import looks_on
from tests.bench.delay_log import BEGAN, DAY_S, ArrayDelays, Log, catalog_of, silence_counts
from tests.bench.slots import (
    ACTIONS,
    APPEAL,
    BEST,
    LOOKS,
    WINDOW_DAYS,
    Course,
    missed,
    play,
    world_of,
)
from tests.bench.slots_served import play_served


def course(**fields: object) -> Course:
    """A course whose believed appeals are the true ones."""
    true = np.array([[BEST, *[APPEAL] * 4]])
    return Course("plain", 0, 0.95, true, true, {})._replace(**fields)


@pytest.mark.parametrize("name", ["plain", "contexts", "channels"])
def test_the_best_action_depends_on_the_seed(name):
    worlds = [world_of(name, seed) for seed in range(8)]
    best = {int(world.appeals(world.groups)[0].argmax()) for world in worlds}
    assert len(best) > 2
    assert all(world.appeals(world.groups).max() < 0.5 for world in worlds)


def test_a_course_learns_how_often_each_rank_is_looked_at_and_depends_on_its_seed_only():
    played, again = (play("plain", seed=1, decisions=600, days=1) for _ in range(2))
    assert (again.first, again.believed.tolist()) == (played.first, played.believed.tolist())
    assert played.looks["app"][2] < played.looks["app"][1] < 1


def test_where_ranks_are_not_known_the_appeals_of_lower_ones_are_believed_too_low():
    about = {"decisions": 1_000, "days": 2}
    known, not_known = (play("plain", 2, looks=looks, **about) for looks in (True, False))
    assert not_known.looks == {}
    assert np.median(not_known.believed) < np.median(known.believed)


def test_the_engine_its_ledger_and_the_learner_play_the_same_game(tmp_path):
    served = play_served(3, decisions=100, folder=tmp_path, days=1)
    assert served.believed.shape == (1, len(ACTIONS)) and served.believed.min() > 0
    assert served.looks["app"][1] < 1 and len(served.looks["app"]) == len(LOOKS["app"])


def test_a_lower_slot_in_an_array_counts_by_its_look():
    """200 decisions in either order; both slots are looked at as the world says."""
    log, n = Log(np.full(5, WINDOW_DAYS * DAY_S), ACTIONS), 400
    rng = np.random.default_rng(5)
    rank, decision = np.tile([1, 2], n), np.repeat(np.arange(n), 2)
    action = (rank + decision) % 2
    yes = rng.random(2 * n) < np.where(rank == 1, 0.5, 0.2)
    at = decision / n * DAY_S
    log.add(
        *(at, action, np.where(yes, at + 60.0, np.inf), np.zeros((2 * n, 4))),
        rank=rank,
        decision=decision,
        n_shown=np.full(2 * n, 2),
        believed=np.full(2 * n, 0.5),
    )
    delays, now_s = ArrayDelays(catalog_of((WINDOW_DAYS,) * 5, ACTIONS), log), 4 * DAY_S
    rows = np.flatnonzero(~yes)
    counts = silence_counts(log, rows, now_s, delays, curve=True)
    assert newest_epoch(BEGAN, BEGAN) is None
    ends = {float(one) for one in counts[log.rank[rows] == 1]}
    assert ends == {1.0}
    look = 0.4
    assert counts[log.rank[rows] == 2] == pytest.approx(look * 0.5 / (1 - look * 0.5), rel=0.25)
    assert looks_on({}, "app") == ()


def test_goals_that_are_missed_are_told():
    assert missed([course()] * 10) == []
    low = course(first=0.85)
    far = course(believed=course().true * 1.3)
    assert missed([course()] * 9 + [low]) == []
    (sentence,) = missed([course()] * 8 + [low, far])
    assert sentence == "plain: 8 of 10 seeds."
