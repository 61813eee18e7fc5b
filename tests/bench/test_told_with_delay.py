from __future__ import annotations

import numpy as np
import pytest

from tests.bench.classification_sets import make_set
from tests.bench.served_run import NEVER, snapshot_number
from tests.bench.told_with_delay import NOTEBOOK, Draw, Notebook, replay, replayed, told_before

USED = np.array([0, 0, 1, 1, 4, 4])
LEARNED = np.array([1, 2, 4, 5, NEVER, 5])


class Recorder:
    """A learner that prefers action 1, and records what it is told and asked."""

    def __init__(self) -> None:
        self.told: list[tuple[list[float], list[int], list[float]]] = []
        self.asked: list[int] = []

    def predict(self, contexts: np.ndarray) -> np.ndarray:
        self.asked.append(len(contexts))
        return np.tile([0.25, 0.75], (len(contexts), 1))

    def learn(
        self,
        contexts: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        probabilities: np.ndarray,
    ) -> None:
        assert np.array_equal(probabilities, np.where(actions == 1, 0.75, 0.25))
        self.told.append((contexts[:, 0].tolist(), actions.tolist(), rewards.tolist()))


def test_a_row_is_told_before_the_first_row_whose_snapshot_had_learned_it():
    # Snapshot 1 decides rows 2 and 3, snapshot 4 rows 4 and 5; snapshot 5 decides none.
    assert told_before(USED, LEARNED).tolist() == [2, 4, 4, 6, 6, 6]


def test_a_snapshot_that_is_older_than_that_of_an_earlier_row_is_refused():
    with pytest.raises(ValueError, match="older snapshot.*NBA_WORKERS=1"):
        told_before(np.array([2, 1]), np.array([3, 3]))


def test_a_replay_tells_the_rewards_of_the_actions_that_it_drew_itself():
    learner, contexts = Recorder(), np.arange(6.0)[:, None]
    uniforms = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.24])
    right = np.array([0, 0, 1, 1, 1, 1])
    earned = replay(learner, contexts, right, told_before(USED, LEARNED), uniforms)
    assert learner.asked == [2, 2, 2]
    assert learner.told == [([0.0], [0], [1.0]), ([1.0, 2.0], [1, 0], [0.0, 0.0])]
    assert earned == pytest.approx(3 / 6)


def test_the_notebooks_object_earns_more_if_it_is_told_than_if_it_is_not():
    given = make_set(400, seed=1)
    at_once, never = np.arange(400) // 20 * 20 + 20, np.full(400, 400)
    told, untold = (replayed(given, Draw(NOTEBOOK, (0, 1), when)) for when in (at_once, never))
    assert told > 0.5
    assert untold < 0.35


def test_many_rows_are_predicted_as_each_alone():
    given = make_set(60, seed=2)
    notebook, actions = Notebook(3, 4), np.arange(40) % 4
    rewards = (actions == given.right[:40]).astype(float)
    notebook.learn(given.contexts[:40], actions, rewards, np.full(40, 0.25))
    together = notebook.predict(given.contexts[40:])
    alone = np.concatenate([notebook.predict(one[None]) for one in given.contexts[40:]])
    assert np.allclose(together, alone, atol=1e-6)  # the matrix products are rounded otherwise


@pytest.mark.parametrize(
    "version, number", [("prior.17", 17), ("3.5", 5), ("3", 0), (None, 0), ("prior", 0)]
)
def test_the_snapshot_is_read_from_the_version_of_the_bandit(version, number):
    assert snapshot_number(version) == number
