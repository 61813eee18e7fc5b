"""Tests the reward model: the mixture of experts, its deviation, its explanation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.bandits import outcomes, plain
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import CHANNEL, Encoder
from training.bandit.reward_model import RewardModel
from training.params import BanditParams

NAN = float("nan")
CHANNELS = ("app", "phone")
PRIORS = {"call": (0.3, 10.0), "discount": (0.2, 25.0)}
WIDE = (-1e9, 1e9)  # no reward is cut
ENCODER = Encoder(("age", "visits"), CHANNELS, np.array([40.0, 3.0]), np.array([10.0, 2.0]))
ROWS, HERE = np.array([[55.0, 1.0], [20.0, NAN]]), ["app", "phone"]


def some_outcomes(n: int, seed: int, price: float = 1.0) -> OutcomeBatch:
    rng = np.random.default_rng(seed)
    rows = rng.normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    rows[rng.random((n, 2)) < 0.1] = NAN
    channels, actions = rng.choice(CHANNELS, n).tolist(), rng.choice(list(PRIORS), n).tolist()
    return outcomes(rows, channels, actions, (price * rng.integers(0, 2, n)).tolist())


def learned(
    told: OutcomeBatch, params: BanditParams | None = None, trees: bool = False
) -> RewardModel:
    params = params or plain({"ridge": 5.0})
    state = BanditState(ENCODER, params)
    silent = np.full((len(told.at), len(params.linear_experts) + 1), NAN)
    state.learn(replace(told, expert_predictions=silent))
    if trees:
        assert state.fit_trees(told, float(len(told.at))) is not None
    return state.model(PRIORS, {}, WIDE)


def mixed(expert_weights: list[float], seed: int = 40, price: float = 1.0) -> RewardModel:
    """Two linear experts with different ridges, and trees, all of the same outcomes."""
    two = plain({"ridge": 5.0}, {"ridge": 50.0})
    model = learned(some_outcomes(400, seed, price), two, trees=True)
    return replace(model, expert_weights=np.array(expert_weights))


def by_hand(weights: list[list[float]], prior: list[float]) -> RewardModel:
    """A model of one expert, which is certain."""
    n, width = len(prior), ENCODER.width
    actions = tuple(f"action {number}" for number in range(n))
    return RewardModel(
        encoder=ENCODER,
        actions=actions,
        prior=np.array(prior),
        prior_weight=np.ones(n),
        counted=np.full(n, 1e15),  # so many that the priors are forgotten
        rate=np.array(prior),
        drift=np.ones((1, n)),
        weights=np.array([weights]),
        variance=np.zeros((n, width)),
        covariance=np.zeros((n, 1, 1)),
        noise=1.0,
        basis=np.eye(width),
        expert_weights=np.array([1.0, 0.0]),
    )


# Predictions -----------------------------------------------------------------------------------


def test_a_prediction_computed_by_hand():
    model = by_hand([[0.01, 0.05, -0.02, 0.1, -0.3]], prior=[0.2])
    # Two standard deviations older; visits unknown, so average; on the app.
    found = model.predict(np.array([[60.0, NAN]]), ["app"])
    assert found.acceptance[0] == pytest.approx([0.2 + 0.01 + 0.1 + 0.1])
    assert found.expert_predictions[:, 0, 0] == pytest.approx([0.41, 0.2])  # no trees: the prior


def test_predictions_of_many_customers_are_those_of_each():
    model = mixed([0.5, 0.2, 0.3])
    every = model.predict(ROWS, HERE)
    for number in range(2):
        one = model.predict(ROWS[[number]], HERE[number : number + 1]).of_customer(0)
        for mine, theirs in zip(every.of_customer(number), one, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-12)
    assert model.acceptance(ROWS, HERE).tolist() == every.acceptance.tolist()


@pytest.mark.parametrize("trees", [True, False])
def test_predictions_of_each_are_to_the_bit_those_of_one_alone(trees):
    model = mixed([0.3, 0.4, 0.3]) if trees else learned(some_outcomes(100, 2))
    rng = np.random.default_rng(6)
    rows = rng.normal([40.0, 3.0], [10.0, 2.0], (150, 2))
    rows[rng.random(rows.shape) < 0.1] = NAN
    on = rng.choice([*CHANNELS, "unknown"], 150).tolist()
    for number, found in enumerate(model.predict_each(rows, on)):
        alone = model.predict(rows[number : number + 1], on[number : number + 1]).of_customer(0)
        for mine, theirs in zip(found, alone, strict=True):
            assert mine.tobytes() == theirs.tobytes()
    assert model.predict_each(rows[:0], []) == []


def test_the_expectation_is_the_mixture_of_the_experts_predictions():
    weights = [0.5, 0.2, 0.3]
    found = mixed(weights).predict(ROWS, HERE)
    assert found.expert_predictions.shape == (3, 2, 2)
    mixture = np.einsum("e,ena->na", weights, found.expert_predictions)
    assert found.acceptance == pytest.approx(mixture)
    assert np.ptp(found.expert_predictions, axis=0).min() > 1e-3  # they differ: it can fail


def test_an_expert_with_weight_0_does_not_count():
    first = mixed([1.0, 0.0, 0.0]).predict(ROWS, HERE)
    assert first.acceptance == pytest.approx(first.expert_predictions[0])
    trees = mixed([0.0, 0.0, 1.0]).predict(ROWS, HERE)
    assert trees.acceptance == pytest.approx(trees.expert_predictions[2])
    assert (trees.deviation > 0).all()  # trees are not certain: the first linear expert tells


def test_without_trees_their_prediction_is_the_prior():
    model = learned(some_outcomes(60, seed=8))
    found = model.predict(ROWS, HERE).expert_predictions[-1]
    assert found == pytest.approx(np.array([[0.3, 0.2]] * 2))
    assert model.expert_weights.tolist() == [1.0, 0.0]


def test_an_action_that_is_new_to_the_trees_is_predicted_by_the_linear_experts():
    known = mixed([0.5, 0.2, 0.3])
    model = known.for_priors({"gift": (0.07, 10.0), "call": PRIORS["call"]})
    assert model.actions == ("gift", "call")
    found = model.predict(ROWS, HERE)
    assert found.acceptance[:, 0] == pytest.approx([0.07, 0.07])
    assert found.expert_predictions[:, :, 0] == pytest.approx(np.full((3, 2), 0.07))
    assert (found.deviation[:, 0] > found.deviation[:, 1]).all()  # nobody knows it yet
    assert found.acceptance[:, 1] == pytest.approx(known.predict(ROWS, HERE).acceptance[:, 0])


def test_no_expectation_leaves_the_range_of_rewards():
    model = by_hand([[9.0] + [0.0] * 4, [-9.0] + [0.0] * 4], prior=[0.5, 0.5])
    assert model.acceptance(ROWS, HERE).tolist() == [[1.0, 0.0]] * 2
    money = replace(model, reward_range=(-2.0, 20.0))
    found = money.predict(ROWS, HERE)
    assert found.acceptance.tolist() == [[9.5, -2.0]] * 2
    assert found.expert_predictions[0].tolist() == [[9.5, -8.5]] * 2  # the experts' are not cut


# Deviation -------------------------------------------------------------------------------------


def test_a_deviation_computed_by_hand():
    """A whole matrix along the first axis or two, and variances along the others."""
    model = by_hand([[0.0] * 5], prior=[0.2])
    rows, channels = np.array([[50.0, 7.0]]), ["app"]  # the vector is 1, 1, 2, 1, 0
    for covariance, variance in (
        (np.array([[[0.01]]]), np.array([[0.0, 0.02, 0.03, 0.04, 0.05]])),
        (np.array([[[0.01, 0.004], [0.004, 0.02]]]), np.array([[0.0, 0.0, 0.03, 0.04, 0.05]])),
    ):
        one = replace(model, covariance=covariance, variance=variance)
        expected = 0.01 + 0.02 + 4 * 0.03 + 0.04 + 2 * covariance[0, :1, 1:].sum()
        assert one.predict(rows, channels).deviation == pytest.approx(np.sqrt([[expected]]))


def test_the_variance_is_the_mixture_of_the_experts_variances():
    """One expert, the other one, and a mixture that their errors give, of the same outcomes."""
    told = some_outcomes(60, seed=41)

    def found(*ridges: float) -> tuple[np.ndarray, np.ndarray]:
        model = learned(told, plain(*({"ridge": ridge} for ridge in ridges)))
        return model.predict(ROWS, HERE).deviation ** 2, model.expert_weights

    (first, _), (second, _), (both, weights) = found(5.0), found(50.0), found(5.0, 50.0)
    assert 0.1 < weights[0] < 0.9 and weights[2] == 0  # by evidence alone: no errors are known
    n = np.array([told.actions.count(action) for action in PRIORS])
    weight = np.array([10.0, 25.0])
    share, rates = (
        weight / (weight + n),
        [told.acceptance[np.array(told.actions) == action].mean() for action in PRIORS],
    )
    p = share * [0.3, 0.2] + (1 - share) * rates
    noise = p * (1 - p) / np.average(p * (1 - p), weights=n) * told.acceptance.var()
    of_prior = noise * share**2 / weight
    mixture = weights[0] * (first - of_prior) + weights[1] * (second - of_prior)
    assert both - of_prior == pytest.approx(mixture)
    assert not np.allclose(first, second, rtol=0.1)  # the test can fail


def test_a_new_action_has_the_variance_of_its_prior_and_of_the_experts_disagreement():
    model = learned(some_outcomes(60, seed=42), plain({"ridge": 5.0}, {"ridge": 50.0}))
    found = model.for_priors({"gift": (0.1, 30.0)}).predict(ROWS, HERE).deviation[:, 0]
    assert found == pytest.approx(np.sqrt(model.dispersion * 0.1 * 0.9 / 30))
    assert model.dispersion == pytest.approx(1.0, rel=0.1)  # outcomes are 0 and 1


def test_experts_that_differ_by_more_than_the_noise_make_the_mixture_uncertain():
    """Two experts of weight 1/2 that differ by 0.6: 0.3 from the mean, a variance of 0.09."""
    one = by_hand([[0.0] * 5], prior=[0.2])
    two = replace(one, weights=np.array([[[0.0] * 5], [[0.6] + [0.0] * 4]]))
    two = replace(two, expert_weights=np.array([0.5, 0.5, 0.0]))
    for noise, expected in ((0.05, 0.04), (0.2, 0.0)):
        found = replace(two, noise=noise).predict(ROWS, HERE).deviation
        assert found == pytest.approx(np.full((2, 1), np.sqrt(expected)), abs=1e-6)


# Contributions ---------------------------------------------------------------------------------


def mixture(model: RewardModel, row: np.ndarray, channel: str) -> np.ndarray:
    """The expectation before it is cut."""
    return replace(model, reward_range=WIDE).acceptance(row[None], [channel])[0]


@pytest.mark.parametrize("channel", [*CHANNELS, "fax"])
@pytest.mark.parametrize("row", [[44.0, 9.0], [NAN, 3.5], [9_000.0, -9_000.0]])
def test_contributions_add_up_to_the_expectation_before_it_is_cut(row, channel):
    model, customer = learned(some_outcomes(400, seed=31)), np.array(row)
    found = replace(model, reward_range=(0.49, 0.51)).contributions(customer, channel)
    assert found.of == model.actions
    assert found.features == ("age", "visits", f"{CHANNEL}app", f"{CHANNEL}phone")
    assert found.effects.shape == (2, 4)
    assert found.scores == pytest.approx(mixture(model, customer, channel), abs=1e-12)


@pytest.mark.parametrize("price", [1.0, 30.0])  # trees of probabilities, and of money
@pytest.mark.parametrize("channel", [*CHANNELS, "fax"])
def test_contributions_of_a_mixture_with_trees_add_up_as_well(channel, price):
    model = mixed([0.5, 0.2, 0.3], price=price)
    model = model.for_priors({"gift": (0.2, 5.0), **PRIORS})
    for row in ROWS:
        found = model.contributions(row, channel)
        assert found.features == ("age", "visits", f"{CHANNEL}app", f"{CHANNEL}phone")
        assert found.scores == pytest.approx(mixture(model, row, channel), abs=1e-9)
    without = replace(model, expert_weights=np.array([0.5 / 0.7, 0.2 / 0.7, 0.0]))
    assert not np.allclose(found.scores, without.contributions(row, channel).scores, atol=1e-4)


def test_a_contribution_computed_by_hand():
    found = by_hand([[0.01, 0.05, -0.02, 0.1, -0.3]], prior=[0.2]).contributions(
        np.array([60.0, NAN]), "app"
    )
    assert found.baseline == pytest.approx([0.21])
    # Two standard deviations older; visits unknown, so average; on the app and not on the phone.
    assert found.effects == pytest.approx(np.array([[0.1, 0.0, 0.1, 0.0]]))


def test_contributions_of_some_actions_are_those_of_all_of_them():
    model, row = mixed([0.5, 0.2, 0.3]), np.array([30.0, 1.0])
    every, one = model.contributions(row, "app"), model.contributions(row, "app", ["discount"])
    assert one.of == ("discount",)
    assert one.effects.tolist() == every.effects[1:].tolist()
    assert one.scores.tolist() == every.scores[1:].tolist()


def test_a_bandit_that_was_never_trained_explains_with_its_priors():
    blank = BanditState(Encoder.blank(), plain()).model({})
    assert blank.actions == ()
    found = blank.for_priors({"call": (0.3, 10.0)}).contributions(np.empty(0), "app")
    assert (found.scores.tolist(), found.effects.any()) == ([0.3], False)


# Another catalogue -----------------------------------------------------------------------------


def test_a_model_for_the_same_priors_predicts_the_same():
    model = mixed([0.5, 0.2, 0.3])
    same = model.for_priors(PRIORS)
    now, before = same.predict(ROWS, HERE), model.predict(ROWS, HERE)
    for mine, theirs in zip(now, before, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-12)


def test_a_changed_prior_moves_the_expectation_by_the_share_that_is_left_of_it():
    model = learned(some_outcomes(60, seed=43))
    edited = model.for_priors(PRIORS | {"call": (0.8, 10.0)})
    moved = edited.acceptance(ROWS, HERE) - model.acceptance(ROWS, HERE)
    n = some_outcomes(60, seed=43).actions.count("call")
    assert moved[:, 0] == pytest.approx([0.5 * 10 / (10 + n)] * 2)
    assert moved[:, 1] == pytest.approx([0.0, 0.0], abs=1e-12)
    now, before = (one.predict(ROWS, HERE) for one in (edited.for_priors(PRIORS), model))
    assert now.acceptance == pytest.approx(before.acceptance)
    assert now.deviation == pytest.approx(before.deviation)
