"""Tests the learner's state: sums in any order, errors of the experts, a world that changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.bandits import PLAIN
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.bandit.exploration import ThompsonProbabilities
from training.bandit.reward_model import RewardModel
from training.params import LinearExpertParams, load_params

PARAMS = load_params().bandit
PRIORS = {"call": (0.3, 10.0), "mail": (0.1, 10.0)}
ENCODER = Encoder(("age",), ("app", "web"), np.zeros(1), np.ones(1))


def some_outcomes(
    rng: np.random.Generator, n: int, begin: int = 0, count: float = 1.0
) -> OutcomeBatch:
    return OutcomeBatch(
        rows=rng.normal(size=(n, 1)),
        channels=rng.choice(["app", "web"], n).tolist(),
        actions=rng.choice(["call", "mail"], n).tolist(),
        acceptance=rng.integers(0, 2, n).astype(np.float64),
        count=np.full(n, count),
        at=begin + np.arange(n, dtype=np.float64),
        expert_predictions=rng.random((n, len(PARAMS.linear_experts) + 1)),
    )


def subset(outcomes: OutcomeBatch, which: np.ndarray, sign: float = 1.0) -> OutcomeBatch:
    return OutcomeBatch(
        outcomes.rows[which],
        [outcomes.channels[index] for index in which],
        [outcomes.actions[index] for index in which],
        outcomes.acceptance[which],
        sign * outcomes.count[which],
        outcomes.at[which],
        outcomes.expert_predictions[which],
    )


def prediction(state: BanditState, params=PARAMS) -> np.ndarray:
    found = state.model(PRIORS, {}, params).predict(np.array([[0.7]]), ("app",))
    return np.concatenate(
        [found.acceptance.ravel(), found.deviation.ravel(), found.expert_predictions.ravel()]
    )


def test_outcomes_in_any_order_and_any_batches_give_the_same_state():
    rng = np.random.default_rng(3)
    # Longer than 30 half-lives of the shortest memory: its sums are rescaled on the way.
    outcomes = some_outcomes(rng, 400)
    outcomes = replace(outcomes, at=outcomes.at * 1000)
    at_once = BanditState.blank(ENCODER, PARAMS).learn(outcomes)
    one_by_one = BanditState.blank(ENCODER, PARAMS)
    for part in np.array_split(rng.permutation(400), 40):
        one_by_one = one_by_one.learn(subset(outcomes, part))
    assert prediction(one_by_one) == pytest.approx(prediction(at_once), rel=1e-9)
    seen = [one.errors.products * one.decay.shrink(one.newest) for one in (one_by_one, at_once)]
    assert seen[0] == pytest.approx(seen[1], rel=1e-9)


def test_a_retracted_outcome_leaves_no_trace():
    rng = np.random.default_rng(4)
    outcomes = some_outcomes(rng, 300)
    kept = BanditState.blank(ENCODER, PARAMS).learn(subset(outcomes, np.arange(200)))
    more = kept.learn(subset(outcomes, np.arange(200, 300)))
    assert not np.allclose(prediction(more), prediction(kept), rtol=1e-3)  # the test can fail
    back = more.learn(subset(outcomes, np.arange(200, 300), -1.0))
    # Seen from the newest decision, which was made all the same.
    kept = replace(kept, newest=more.newest)
    assert prediction(back) == pytest.approx(prediction(kept), rel=1e-9)


def test_bytes_give_back_everything():
    rng = np.random.default_rng(5)
    outcomes = some_outcomes(rng, 300)
    state = BanditState.blank(ENCODER, PARAMS).learn(outcomes).with_trees(outcomes, 300.0)
    assert state.trees is not None
    back = BanditState.from_bytes(state.to_bytes())
    assert back.to_bytes() == state.to_bytes()
    assert prediction(back).tolist() == prediction(state).tolist()
    model = state.model(PRIORS, {}, PARAMS)
    again = RewardModel.from_bytes(model.to_bytes()).predict(np.array([[0.7]]), ("app",))
    assert (
        again.acceptance.tolist() == model.predict(np.array([[0.7]]), ("app",)).acceptance.tolist()
    )


def test_the_expert_with_the_smallest_errors_gets_the_largest_weight():
    rng = np.random.default_rng(6)
    outcomes = some_outcomes(rng, 2000)
    expert_predictions = np.column_stack(
        [np.full(2000, 0.5), 0.9 * outcomes.acceptance, np.full(2000, 0.4)]
    )
    state = BanditState.blank(ENCODER, PARAMS).learn(
        replace(outcomes, expert_predictions=expert_predictions)
    )
    assert state.model(PRIORS, {}, PARAMS).expert_weights.argmax() == 1


def test_a_decision_without_recorded_predictions_adds_no_errors():
    outcomes = some_outcomes(np.random.default_rng(7), 50)
    silent = replace(outcomes, expert_predictions=outcomes.expert_predictions * np.nan)
    state = BanditState.blank(ENCODER, PARAMS).learn(silent)
    assert state.errors.count == 0
    assert state.counted == 50
    assert state.model(PRIORS, {}, PARAMS).expert_weights[0] > 0.99


def test_the_deviation_of_an_acceptance_follows_its_rate():
    blank = Encoder.blank(("app",))
    model = BanditState.blank(blank, PLAIN).model({"a": (0.5, 10.0), "b": (0.02, 10.0)}, {}, PLAIN)
    deviation = model.predict(np.empty((1, 0)), ("app",)).deviation[0]
    # p (1 - p) / 10 of the constant and / 100 of the channel.
    assert deviation == pytest.approx(np.sqrt(np.array([0.25, 0.0196]) * 0.11))


def test_a_new_action_starts_where_its_group_is():
    rng = np.random.default_rng(8)
    outcomes = replace(some_outcomes(rng, 500), actions=["mail"] * 500, acceptance=np.ones(500))
    state = BanditState.blank(ENCODER, PARAMS).learn(outcomes)
    priors = PRIORS | {"letter": (0.1, 10.0)}
    groups = {"mail": "paper", "letter": "paper", "call": "voice"}
    model = state.model(priors, groups, PARAMS)
    call, mail, letter = model.acceptance(np.zeros((1, 1)), ("app",))[0]
    assert mail > 0.9
    assert letter > 0.9 > 0.31 > call


def test_trees_are_wanted_when_enough_is_new():
    outcomes = some_outcomes(np.random.default_rng(9), 300)
    params = PARAMS.model_copy(
        update={"trees": PARAMS.trees.model_copy(update={"at_least": 300, "growth": 2.0})}
    )
    state = BanditState.blank(ENCODER, params)
    assert not state.learn(subset(outcomes, np.arange(299))).wants_trees(params)
    state = state.learn(outcomes)
    assert state.wants_trees(params)
    fitted = state.with_trees(outcomes, state.counted)
    assert not fitted.wants_trees(params)
    assert fitted.learn(outcomes).wants_trees(params)
    assert state.learn(outcomes).with_trees_of(fitted).trees is fitted.trees


@pytest.mark.parametrize("short", [True, False])
def test_after_a_change_of_the_world_the_short_half_life_finds_the_new_best_action(short):
    """6,000 decisions in one world, then 9,000 in another; only a short half-life finds it."""
    long = LinearExpertParams(ridge=300.0, exploration_scale=0.5)
    linear_experts = PARAMS.linear_experts if short else (long,)
    params = PARAMS.model_copy(update={"linear_experts": linear_experts, "width": 24})
    rng = np.random.default_rng(10)
    customers = np.column_stack([rng.integers(0, 2, 200), rng.normal(size=(200, 3))])
    names = ("segment", "x", "y", "z")
    encoder = Encoder.fit(customers, names, ("app",), params.width)
    state, policy = (
        BanditState.blank(encoder, params),
        ThompsonProbabilities(params.min_probability),
    )
    actions, priors = ["a", "b", "c"], dict.fromkeys("abc", (0.1, 30.0))
    rates = np.array([[0.3, 0.1, 0.1], [0.1, 0.3, 0.1]])
    chances = []
    for step in range(150):
        if step == 60:
            rates = rates[:, ::-1]  # c is best in one segment; b stays it in the other
        x = customers[rng.integers(200, size=100)]
        found = state.model(priors, {}, params).predict(x, ("app",) * 100)
        p = np.stack(
            [
                policy.probabilities(*both)
                for both in zip(found.acceptance, found.deviation, strict=True)
            ]
        )
        drawn = np.array([rng.choice(3, p=row) for row in p])
        y = (rng.random(100) < rates[x[:, 0].astype(int), drawn]).astype(np.float64)
        chances.append(p[x[:, 0] == 0].mean(axis=0))
        expert_predictions = found.expert_predictions[:, np.arange(100), drawn].T
        taught = [actions[index] for index in drawn]
        at = 100.0 * step + np.arange(100)
        state = state.learn(
            OutcomeBatch(x, ["app"] * 100, taught, y, np.ones(100), at, expert_predictions)
        )
    before, after = np.mean(chances[50:60], axis=0), np.mean(chances[-10:], axis=0)
    assert before[0] > 0.5
    assert (after[2] > 0.5) == short
