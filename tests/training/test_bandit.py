"""The reward model: sums that can be taken back, and a ridge we can check."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.bandit import (
    CHANNEL,
    CLIP,
    SURE,
    Bandit,
    Encoder,
    Posterior,
    RewardModel,
)

NAN = float("nan")
CHANNELS = ("app", "phone")
PRIORS = {"call": (0.3, 10.0), "discount": (0.2, 25.0)}


def an_encoder() -> Encoder:
    return Encoder(("age", "visits"), CHANNELS, np.array([40.0, 3.0]), np.array([10.0, 2.0]))


def some_outcomes(n: int, seed: int) -> tuple:
    """Rows, channels, actions, acceptances and counts, as `Posterior.learn` takes them."""
    rng = np.random.default_rng(seed)
    rows = rng.normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    rows[rng.random((n, 2)) < 0.1] = NAN
    channels = rng.choice(CHANNELS, n).tolist()
    actions = rng.choice(list(PRIORS), n).tolist()
    return rows, channels, actions, rng.integers(0, 2, n).astype(float), rng.uniform(0.2, 1, n)


def learned(*parts: tuple) -> Posterior:
    posterior = Posterior(an_encoder(), ridge=5.0)
    for part in parts:
        posterior.learn(*part)
    return posterior


def take(outcomes: tuple, which: slice) -> tuple:
    return tuple(part[which] for part in outcomes)


def taken_back(outcomes: tuple) -> tuple:
    return (*outcomes[:4], -outcomes[4])


# The encoder -----------------------------------------------------------------------------------


def test_a_vector_is_one_then_standardised_features_then_channels():
    vectors = an_encoder().encode(np.array([[50.0, 2.0], [40.0, 3.0]]), ["phone", "app"])
    assert vectors.tolist() == [[1, 1.0, -0.5, 0, 1], [1, 0, 0, 1, 0]]


def test_what_is_unknown_counts_as_average():
    assert an_encoder().encode(np.array([[NAN, 3.0]]), ["app"]).tolist() == [[1, 0, 0, 1, 0]]


def test_one_odd_customer_is_clipped():
    odd = np.array([[4_000.0, -4_000.0], [np.inf, -np.inf]])
    assert an_encoder().encode(odd, ["app", "app"])[:, 1:3].tolist() == [[CLIP, -CLIP]] * 2


def test_a_channel_never_heard_of_is_no_channel():
    assert an_encoder().encode(np.array([[40.0, 3.0]]), ["fax"]).tolist() == [[1, 0, 0, 0, 0]]


def test_fitting_learns_mean_and_spread_of_what_is_known_and_varies():
    x = np.array([[NAN, 1.0, 7.0, 0.0], [NAN, 3.0, 7.0, 4.0], [NAN, NAN, 7.0, NAN]])
    encoder = Encoder.fit(x, ("never_seen", "a", "constant", "b"), CHANNELS)
    assert encoder.features == ("a", "b")
    assert encoder.center.tolist() == [2.0, 2.0]
    assert encoder.scale.tolist() == [1.0, 2.0]
    assert encoder.width == 1 + 2 + 2


def test_a_large_constant_column_is_seen_as_constant():
    # Its mean is not quite its value: the spread is rounding error, not knowledge.
    assert Encoder.fit(np.full((100, 1), 1e9 + 0.1), ["x"], []).features == ()


def test_a_blank_encoder_knows_channels_only():
    blank = Encoder.blank(CHANNELS)
    assert blank.width == 3
    assert blank.encode(np.empty((2, 0)), ["phone", "app"]).tolist() == [[1, 0, 1], [1, 1, 0]]


# The posterior ---------------------------------------------------------------------------------


def test_weights_equal_a_brute_force_ridge_solution():
    """The prior and the ridge as extra rows of one least-squares problem, solved by numpy."""
    rows, channels, actions, y, count = some_outcomes(200, seed=1)
    model = learned((rows, channels, actions, y, count)).model(PRIORS)
    vectors = an_encoder().encode(rows, channels)
    for index, (action, (acceptance, weight)) in enumerate(PRIORS.items()):
        mine = np.array(actions) == action
        root = np.sqrt(count[mine])
        pull = np.diag(np.sqrt([weight, 5.0, 5.0, 5.0, 5.0]))
        left = np.vstack([vectors[mine] * root[:, None], pull])
        right = np.append((y[mine] - acceptance) * root, np.zeros(5))
        brute = np.linalg.lstsq(left, right, rcond=None)[0]
        assert model.weights[index] == pytest.approx(brute, abs=1e-10)


def test_order_does_not_matter():
    outcomes = some_outcomes(60, seed=2)
    once = learned(outcomes).model(PRIORS)
    backwards = learned(take(outcomes, slice(None, None, -1))).model(PRIORS)
    in_parts = learned(take(outcomes, slice(40, 60)), take(outcomes, slice(0, 40))).model(PRIORS)
    assert np.allclose(once.weights, backwards.weights, atol=1e-12)
    assert np.allclose(once.weights, in_parts.weights, atol=1e-12)


def test_learning_then_taking_back_gives_the_posterior_before():
    before, late = some_outcomes(50, seed=3), some_outcomes(30, seed=4)
    posterior = learned(before, late, taken_back(late))
    expected = learned(before)
    assert np.allclose(posterior.model(PRIORS).weights, expected.model(PRIORS).weights)
    assert np.allclose(
        [posterior.counted(a) for a in PRIORS], [expected.counted(a) for a in PRIORS]
    )
    moved = learned(before, late).model(PRIORS).weights
    assert not np.allclose(moved, expected.model(PRIORS).weights)  # the test can fail


def test_counts_and_rates_are_those_of_the_outcomes():
    row = np.array([[40.0, 3.0]] * 3)
    posterior = learned(
        (row, ["app"] * 3, ["call"] * 3, np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.5]))
    )
    assert posterior.counted("call") == 2.5
    assert posterior.rate("call") == pytest.approx(1.5 / 2.5)
    assert posterior.counted("discount") == 0
    assert np.isnan(posterior.rate("discount"))


def test_many_outcomes_outweigh_the_prior():
    n = 100_000
    rows = np.tile([[40.0, 3.0]], (n, 1))
    part = (rows, ["app"] * n, ["call"] * n, np.tile([1.0, 0.0, 0.0, 0.0], n // 4), np.ones(n))
    model = learned(part).model({"call": (0.9, 10.0)})
    assert model.acceptance(rows[:1], ["app"])[0, 0] == pytest.approx(0.25, abs=1e-3)


def test_actions_learn_apart_from_each_other():
    row = np.array([[50.0, 3.0]])
    model = learned((row, ["app"], ["call"], np.ones(1), np.ones(1))).model(PRIORS)
    call, discount = model.acceptance(row, ["app"])[0]
    assert call > 0.3
    assert discount == pytest.approx(0.2)


def test_a_prior_edited_later_is_as_if_it_had_always_been_so():
    posterior = learned(some_outcomes(40, seed=5))
    posterior.model(PRIORS)
    edited = {"call": (0.6, 3.0)}
    expected = learned(some_outcomes(40, seed=5)).model(edited)
    assert posterior.model(edited).weights.tolist() == expected.weights.tolist()


def test_a_posterior_survives_its_bytes():
    posterior = learned(some_outcomes(40, seed=6))
    back = Posterior.from_bytes(posterior.to_bytes())
    assert (back.ridge, back.actions) == (posterior.ridge, posterior.actions)
    assert back.encoder.features == ("age", "visits")
    assert back.model(PRIORS).weights.tolist() == posterior.model(PRIORS).weights.tolist()
    more = some_outcomes(10, seed=7)
    posterior.learn(*more)
    back.learn(*more)
    assert back.second.tolist() == posterior.second.tolist()


def test_an_empty_posterior_survives_its_bytes_and_can_learn():
    back = Posterior.from_bytes(Posterior(an_encoder(), ridge=5.0).to_bytes())
    back.learn(*some_outcomes(40, seed=6))
    assert back.first.tolist() == learned(some_outcomes(40, seed=6)).first.tolist()


@pytest.mark.parametrize("ridge", [0.0, -1.0, NAN, float("inf")])
def test_a_ridge_we_cannot_use_is_named_in_the_error(ridge):
    with pytest.raises(InvalidSetting, match=f"ridge is {ridge!r}. Expected a finite number > 0"):
        Posterior(an_encoder(), ridge)


# The reward model ------------------------------------------------------------------------------


def test_a_new_action_is_expected_to_do_as_its_prior_says():
    model = learned(some_outcomes(60, seed=8)).model(PRIORS)
    today = model.for_priors({"gift": 0.07, "call": 0.3})
    rows = np.array([[55.0, 1.0], [20.0, 9.0]])
    now, before = today.acceptance(rows, CHANNELS), model.acceptance(rows, CHANNELS)
    assert today.actions == ("gift", "call")
    assert now[:, 0].tolist() == pytest.approx([0.07, 0.07])
    assert now[:, 1].tolist() == before[:, 0].tolist()


def test_no_acceptance_is_believed_certain():
    sure = RewardModel(
        Encoder.blank(CHANNELS),
        ("yes", "no"),
        np.array([0.5, 0.5]),
        np.array([[9.0] * 3, [-9.0] * 3]),
    )
    assert sure.acceptance(np.empty((1, 0)), ["app"])[0] == pytest.approx([SURE, 1 - SURE])


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
    clipped = np.clip(found.scores, 1 - SURE, SURE)
    assert clipped == pytest.approx(model.acceptance(customer[None, :], (channel,))[0], abs=1e-12)


def test_a_contribution_worked_by_hand():
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


def test_a_bandit_survives_its_folder(tmp_path):
    bandit = Bandit(learned(some_outcomes(30, seed=10)), greed=12.5)
    bandit.save(tmp_path / "new" / "folder")
    back = Bandit.load(tmp_path / "new" / "folder")
    assert back.greed == 12.5
    assert back.posterior.to_bytes() == bandit.posterior.to_bytes()
