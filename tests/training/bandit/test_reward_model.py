"""Tests the reward model: expected acceptance, its deviation, and its explanation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.bandit.test_statistics import (
    CHANNELS,
    PRIORS,
    an_encoder,
    learned,
    some_outcomes,
)
from training.bandit.encoder import CHANNEL, Encoder
from training.bandit.reward_model import MAX_ACCEPTANCE, RewardModel
from training.bandit.trees import BoostedTrees

NAN = float("nan")


def test_the_expected_acceptance_of_a_new_action_is_its_prior():
    model = learned(some_outcomes(60, seed=8)).model(PRIORS)
    today = model.for_priors({"gift": 0.07, "call": 0.3})
    rows = np.array([[55.0, 1.0], [20.0, 9.0]])
    now, before = today.acceptance(rows, CHANNELS), model.acceptance(rows, CHANNELS)
    assert today.actions == ("gift", "call")
    assert now[:, 0].tolist() == pytest.approx([0.07, 0.07])
    assert now[:, 1].tolist() == before[:, 0].tolist()


def test_no_acceptance_is_expected_to_be_0_or_1():
    sure = RewardModel(
        Encoder.blank(CHANNELS),
        ("yes", "no"),
        np.array([0.5, 0.5]),
        np.array([[9.0] * 3, [-9.0] * 3]),
    )
    assert sure.acceptance(np.empty((1, 0)), ["app"])[0] == pytest.approx(
        [MAX_ACCEPTANCE, 1 - MAX_ACCEPTANCE]
    )


def unclipped(model: RewardModel, row: np.ndarray, channel: str) -> np.ndarray:
    vector = model.encoder.encode(row[None, :], (channel,))[0]
    return model.prior + model.weights @ vector


@pytest.mark.parametrize("channel", [*CHANNELS, "fax"])
@pytest.mark.parametrize("row", [[44.0, 9.0], [NAN, 3.5], [9_000.0, -9_000.0]])
def test_contributions_add_up_to_the_acceptance_before_it_is_clipped(row, channel):
    model, customer = learned(some_outcomes(400, seed=31)).model(PRIORS), np.array(row)
    found = model.contributions(customer, channel)
    assert found.of == model.actions
    assert found.features == ("age", "visits", f"{CHANNEL}app", f"{CHANNEL}phone")
    assert found.effects.shape == (2, 4)
    assert found.scores == pytest.approx(unclipped(model, customer, channel), abs=1e-12)
    clipped = np.clip(found.scores, 1 - MAX_ACCEPTANCE, MAX_ACCEPTANCE)
    assert clipped == pytest.approx(model.acceptance(customer[None, :], (channel,))[0], abs=1e-12)


def test_a_contribution_computed_by_hand():
    weights = np.array([[0.01, 0.05, -0.02, 0.1, -0.3]])
    model = RewardModel(an_encoder(), ("call",), np.array([0.2]), weights)
    found = model.contributions(np.array([60.0, NAN]), "app")
    assert found.baseline == pytest.approx([0.21])
    # Two standard deviations older; visits unknown, so average; on the app and not on the phone.
    assert found.effects == pytest.approx(np.array([[0.1, 0.0, 0.1, 0.0]]))


def test_contributions_of_some_actions_are_those_of_all_of_them():
    model, row = learned(some_outcomes(400, seed=32)).model(PRIORS), np.array([30.0, 1.0])
    every, one = model.contributions(row, "app"), model.contributions(row, "app", ["discount"])
    assert one.of == ("discount",)
    assert one.effects.tolist() == every.effects[1:].tolist()
    assert one.scores.tolist() == every.scores[1:].tolist()


def test_a_bandit_that_was_never_trained_explains_with_its_priors():
    blank = RewardModel(Encoder.blank(CHANNELS), (), np.empty(0), np.empty((0, 0)))
    found = blank.for_priors({"call": 0.3}).contributions(np.empty(0), "app")
    assert (found.scores.tolist(), found.effects.any()) == ([0.3], False)


def test_a_reward_model_survives_its_bytes():
    model = learned(some_outcomes(60, seed=9)).model(PRIORS)
    back = RewardModel.from_bytes(model.to_bytes())
    rows = np.array([[55.0, NAN]])
    assert back.actions == model.actions
    assert back.acceptance(rows, ["app"]).tolist() == model.acceptance(rows, ["app"]).tolist()


# Several experts -------------------------------------------------------------------------------


def mixed(expert_weights: list[float], seed: int = 40) -> RewardModel:
    """Two linear experts with different ridges, and trees, all of the same outcomes."""
    told = some_outcomes(400, seed)
    statistics, encoder = learned(told), an_encoder()
    posteriors = (statistics.posterior(PRIORS), statistics.posterior(PRIORS, ridge=50.0))
    priors = {action: prior for action, (prior, _) in PRIORS.items()}
    trees = BoostedTrees.fit(*told)
    return RewardModel.mixed(
        encoder, priors, posteriors, np.array([0.2, 0.1]), np.array(expert_weights), trees
    )


ROWS, HERE = np.array([[55.0, 1.0], [20.0, NAN]]), ["app", "phone"]


def test_the_acceptance_is_the_mixture_of_the_experts_predictions():
    expert_weights = [0.5, 0.2, 0.3]
    found = mixed(expert_weights).predict(ROWS, HERE)
    assert found.expert_predictions.shape == (3, 2, 2)
    assert found.acceptance == pytest.approx(
        np.einsum("e,ena->na", expert_weights, found.expert_predictions)
    )
    assert found.acceptance == pytest.approx(mixed(expert_weights).acceptance(ROWS, HERE))
    assert (
        np.ptp(found.expert_predictions, axis=0).min() > 1e-3
    )  # they do not agree, so the test can fail


def test_an_expert_with_weight_0_does_not_count():
    first = mixed([1.0, 0.0, 0.0]).predict(ROWS, HERE)
    assert first.acceptance == pytest.approx(first.expert_predictions[0])
    trees = mixed([0.0, 0.0, 1.0]).predict(ROWS, HERE)
    assert trees.acceptance == pytest.approx(trees.expert_predictions[2])
    assert (trees.deviation > 0).all()  # trees are not sure of anything: the first head tells


def test_the_deviation_is_the_mixture_of_the_posteriors_deviations():
    model = mixed([0.6, 0.2, 0.2])
    vectors = model.encoder.encode(ROWS, HERE)
    each = [
        np.sqrt(noise * posterior.mean_variance(vectors))
        for noise, posterior in zip(model.noise, model.posteriors, strict=True)
    ]
    expected = 0.75 * each[0] + 0.25 * each[1]
    assert model.predict(ROWS, HERE).deviation == pytest.approx(expected)


def test_more_outcomes_make_the_deviation_smaller():
    few, many = learned(some_outcomes(20, seed=41)), learned(some_outcomes(2_000, seed=41))
    unsure = few.model(PRIORS).predict(ROWS, HERE).deviation
    assert (many.model(PRIORS).predict(ROWS, HERE).deviation < unsure / 2).all()


def test_an_action_that_is_new_to_the_trees_is_predicted_by_the_linear_experts():
    model = mixed([0.5, 0.2, 0.3]).for_priors({"gift": 0.07, "call": 0.3})
    found = model.predict(ROWS, HERE)
    assert found.acceptance[:, 0] == pytest.approx([0.07, 0.07])
    assert (found.deviation[:, 0] > found.deviation[:, 1]).all()  # nobody knows it yet
    assert found.acceptance[:, 1] == pytest.approx(
        mixed([0.5, 0.2, 0.3]).predict(ROWS, HERE).acceptance[:, 0]
    )


@pytest.mark.parametrize("channel", [*CHANNELS, "fax"])
def test_contributions_of_a_mixture_add_up_as_well(channel):
    model = mixed([0.5, 0.2, 0.3]).for_priors({"gift": 0.2, "call": 0.3, "discount": 0.2})
    found = model.contributions(ROWS[0], channel)
    assert found.features == ("age", "visits", f"{CHANNEL}app", f"{CHANNEL}phone")
    assert found.scores == pytest.approx(model.acceptance(ROWS[:1], [channel])[0], abs=1e-9)


def test_a_mixture_survives_its_bytes():
    model = mixed([0.5, 0.2, 0.3])
    now, back = (
        each.predict(ROWS, HERE) for each in (model, RewardModel.from_bytes(model.to_bytes()))
    )
    assert back.acceptance.tolist() == now.acceptance.tolist()
    assert back.expert_predictions.tolist() == now.expert_predictions.tolist()
    assert back.deviation == pytest.approx(now.deviation, rel=1e-6)
