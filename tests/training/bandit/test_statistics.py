"""Tests the sums of each action: outcomes can be retracted, and the ridge is checked by numpy."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import InvalidSetting
from training.bandit.decay import Decay
from training.bandit.encoder import Encoder
from training.bandit.statistics import ActionStatistics

NAN = float("nan")
CHANNELS = ("app", "phone")
PRIORS = {"call": (0.3, 10.0), "discount": (0.2, 25.0)}


def an_encoder() -> Encoder:
    return Encoder(("age", "visits"), CHANNELS, np.array([40.0, 3.0]), np.array([10.0, 2.0]))


def some_outcomes(n: int, seed: int) -> tuple:
    """Rows, channels, actions, acceptances and counts, as `ActionStatistics.learn` takes them."""
    rng = np.random.default_rng(seed)
    rows = rng.normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    rows[rng.random((n, 2)) < 0.1] = NAN
    channels = rng.choice(CHANNELS, n).tolist()
    actions = rng.choice(list(PRIORS), n).tolist()
    return rows, channels, actions, rng.integers(0, 2, n).astype(float), rng.uniform(0.2, 1, n)


def learned(*parts: tuple) -> ActionStatistics:
    posterior = ActionStatistics(an_encoder(), ridge=5.0)
    for part in parts:
        posterior.learn(*part)
    return posterior


def take(outcomes: tuple, which: slice) -> tuple:
    return tuple(part[which] for part in outcomes)


def retracted(outcomes: tuple) -> tuple:
    return (*outcomes[:4], -outcomes[4])


def test_weights_equal_a_brute_force_ridge_solution():
    """Solve by numpy, with the prior and the ridge as extra rows of one least-squares problem."""
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


def test_learning_and_retracting_gives_the_posterior_before():
    before, late = some_outcomes(50, seed=3), some_outcomes(30, seed=4)
    posterior = learned(before, late, retracted(late))
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


def test_actions_learn_independently():
    row = np.array([[50.0, 3.0]])
    model = learned((row, ["app"], ["call"], np.ones(1), np.ones(1))).model(PRIORS)
    call, discount = model.acceptance(row, ["app"])[0]
    assert call > 0.3
    assert discount == pytest.approx(0.2)


def test_a_prior_that_is_edited_later_counts_as_if_it_had_always_been_so():
    posterior = learned(some_outcomes(40, seed=5))
    posterior.model(PRIORS)
    edited = {"call": (0.6, 3.0)}
    expected = learned(some_outcomes(40, seed=5)).model(edited)
    assert posterior.model(edited).weights.tolist() == expected.weights.tolist()


def test_a_posterior_survives_its_bytes():
    posterior = learned(some_outcomes(40, seed=6))
    back = ActionStatistics.from_bytes(posterior.to_bytes())
    assert (back.ridge, back.actions) == (posterior.ridge, posterior.actions)
    assert back.encoder.features == ("age", "visits")
    assert back.model(PRIORS).weights.tolist() == posterior.model(PRIORS).weights.tolist()
    more = some_outcomes(10, seed=7)
    posterior.learn(*more)
    back.learn(*more)
    assert back.second.tolist() == posterior.second.tolist()


def test_an_empty_posterior_survives_its_bytes_and_can_learn():
    back = ActionStatistics.from_bytes(ActionStatistics(an_encoder(), ridge=5.0).to_bytes())
    back.learn(*some_outcomes(40, seed=6))
    assert back.first.tolist() == learned(some_outcomes(40, seed=6)).first.tolist()


@pytest.mark.parametrize("ridge", [0.0, -1.0, NAN, float("inf")])
def test_a_ridge_we_cannot_use_is_named_in_the_error(ridge):
    with pytest.raises(InvalidSetting, match=f"ridge is {ridge!r}. Expected a finite number > 0"):
        ActionStatistics(an_encoder(), ridge)


# What fades, and what siblings expect ----------------------------------------------------------


def decayed(*parts: tuple, half_life: float = 10.0) -> ActionStatistics:
    posterior = ActionStatistics(an_encoder(), ridge=5.0, decay=Decay(half_life))
    for part in parts:
        posterior.learn(*part)
    return posterior


def dated(n: int, seed: int, start: float) -> tuple:
    at = start + np.random.default_rng(seed).uniform(0, 5, n)
    return (*some_outcomes(n, seed), at)


def test_an_outcome_of_one_half_life_ago_counts_half():
    rows, channels, actions, y, count = some_outcomes(40, seed=21)
    old = decayed((rows, channels, actions, y, count, np.full(40, 90.0)))
    half = learned((rows, channels, actions, y, count / 2))
    now = old.model(PRIORS, now=100.0)
    assert now.weights == pytest.approx(half.model(PRIORS).weights)


def test_decaying_outcomes_may_come_in_any_order_and_be_retracted():
    """400 half-lives lie between the outcomes, so the epoch has moved on."""
    early, late = dated(30, seed=22, start=0.0), dated(30, seed=23, start=4_000.0)
    wrong = dated(20, seed=24, start=3_990.0)
    forth, back = decayed(early, wrong, late), decayed(late, early, wrong)
    for posterior in (forth, back):
        posterior.learn(*wrong[:4], -wrong[4], wrong[5])
        expected = decayed(late).model(PRIORS, now=4_005.0).weights  # early ones are forgotten
        assert posterior.model(PRIORS, now=4_005.0).weights == pytest.approx(expected, abs=1e-9)


def test_outcomes_that_decay_need_their_times():
    with pytest.raises(InvalidSetting, match="without their times. Expected 'at' for each, in"):
        decayed(some_outcomes(3, seed=25))


def test_a_new_action_starts_where_the_others_of_its_group_are():
    n = 200
    rows = np.random.default_rng(26).normal([40.0, 3.0], [10.0, 2.0], (n, 2))
    likes = (rows[:, 0] > 40).astype(float)  # the older accept
    posterior = learned((rows, ["app"] * n, ["call"] * n, likes, np.ones(n)))
    priors = PRIORS | {"visit": (0.2, 10.0)}
    groups = {"call": "talk", "visit": "talk", "discount": "money"}
    old, young = posterior.model(priors, groups).acceptance(
        np.array([[55.0, 3.0], [25.0, 3.0]]), ["app", "app"]
    )
    assert old[2] > young[2] + 0.3
    assert old[1] == young[1] == pytest.approx(0.2)  # alone in its group
    apart = posterior.model(priors).acceptance(np.array([[55.0, 3.0]]), ["app"])
    assert apart[0, 2] == pytest.approx(0.2)


def test_own_outcomes_outweigh_those_of_the_group():
    n = 2_000
    rows = np.tile([[40.0, 3.0]], (n, 1))
    told = learned(
        (rows, ["app"] * n, ["call"] * n, np.ones(n), np.ones(n)),
        (rows, ["app"] * n, ["discount"] * n, np.zeros(n), np.ones(n)),
    )
    groups = dict.fromkeys(PRIORS, "all")
    call, discount = told.model(PRIORS, groups).acceptance(rows[:1], ["app"])[0]
    assert call > 0.98 and discount < 0.02


def test_noise_is_the_variance_about_the_rates():
    n = 1_000
    rows = np.tile([[40.0, 3.0]], (n, 1))
    y = np.tile([1.0, 0.0, 0.0, 0.0], n // 4)
    told = learned((rows, ["app"] * n, ["call"] * n, y, np.ones(n)))
    assert told.noise() == pytest.approx(0.25 * 0.75, rel=0.01)
    assert learned().noise() == 0.25
