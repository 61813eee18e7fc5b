"""The posterior: sums that can be taken back, and a ridge we can check."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.encoder import Encoder
from training.posterior import Posterior

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
