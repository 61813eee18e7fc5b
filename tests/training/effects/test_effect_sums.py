"""Action-centred regression, against an explicit design matrix and exact expectations."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from training.effects.effect_blocks import EffectBlocks, centred_indicators
from training.effects.effect_sums import WEIGHTS, EffectSums, plain_baseline

NAMES, GROUPS = ("mail", "call", "app"), {"mail": "reach", "call": "reach", "app": "alone"}
BLOCKS = EffectBlocks(NAMES, GROUPS, 2)


def randomised(n: int, seed: int = 0):
    """Vectors (1, x), centred indicators of random draws, labels and weights."""
    rng = np.random.default_rng(seed)
    vectors = np.column_stack([np.ones(n), rng.normal(size=n)])
    chances = rng.dirichlet(np.ones(4), n)
    shown = (rng.uniform(size=n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    return vectors, centred_indicators(shown, chances), rng.normal(size=n), rng.uniform(size=n)


def summed(*parts) -> EffectSums:
    sums = EffectSums(BLOCKS)
    for part in parts:
        sums.add(*part)
    return sums


def assert_close(one: EffectSums, other: EffectSums, tolerance: float = 1e-9) -> None:
    for mine, yours in zip(one.solve(3.0), other.solve(3.0), strict=True):
        assert mine == pytest.approx(yours, rel=tolerance, abs=tolerance)


def expected_draws(customers: np.ndarray, chances: np.ndarray):
    """Every draw of every customer, and its chance as the weight: sums are expectations."""
    each = chances.shape[1]
    shown = np.tile(np.arange(each), len(customers))
    repeated = np.repeat(chances, each, axis=0)
    weight = chances.ravel()
    return np.repeat(customers, each, axis=0), shown, centred_indicators(shown, repeated), weight


def test_effects_are_those_of_the_explicit_regression():
    vectors, centred, label, weight = randomised(60)
    mail, call, app = (centred[:, [number]] * vectors for number in range(3))
    design = np.hstack([vectors, mail + call + app, mail + call, mail, call, app])
    precision = np.diag([10.0] * 2 + [3.0] * 10)  # of the baseline, and of the effects
    inverse = np.linalg.inv(design.T @ (design * weight[:, None]) + precision)
    solution = inverse @ design.T @ (weight * label)
    noise = weight @ (label - design @ solution) ** 2 / weight.sum()
    solved = summed((vectors, centred, label, weight)).solve(3.0, (1.0,))
    assert solved.noise == pytest.approx(noise)
    for number, blocks in enumerate([(1, 2, 3), (1, 2, 4), (1, 5)]):
        of_action = np.zeros((2, 12))
        for block in blocks:
            of_action[:, 2 * block : 2 * block + 2] += np.eye(2)
        assert solved.weights[number] == pytest.approx(of_action @ solution)
        covariance = noise * of_action @ inverse @ of_action.T
        assert solved.covariance[number] == pytest.approx(covariance)


def test_a_wrong_baseline_does_not_bend_an_effect():
    x = np.array([-2.0, -1.0, 0.5, 3.0])
    chances = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.2] * 3 + [0.4], [0.25] * 4])
    customers = np.column_stack([np.ones(4), x])
    vectors, shown, centred, weight = expected_draws(customers, chances)
    effects = np.array([[1.0, 0.5], [-2.0, 0.0], [0.0, -1.0], [0.0, 0.0]])  # `no_action`: none
    added = (vectors * effects[shown]).sum(axis=1)
    baseline = 40 * np.exp(vectors[:, 1]) + 100 * (vectors[:, 1] > 0)  # not linear in x at all
    # With the fourth customer twice, the chances and the baseline go together.
    for multiple in (1.0, np.repeat([1.0, 1.0, 1.0, 2.0], 4)):
        solved = summed((vectors, centred, baseline + added, weight * multiple)).solve(1e-9)
        assert solved.weights == pytest.approx(effects[:3], abs=1e-6)


def test_what_happens_to_everybody_is_no_effect():
    customers = np.column_stack([np.ones(3), [-1.0, 0.0, 2.0]])
    chances = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.3, 0.3, 0.3, 0.1]])
    vectors, _, centred, weight = expected_draws(customers, chances)
    solved = summed((vectors, centred, vectors[:, 1] ** 3 + 5, weight)).solve(1e-9)
    assert solved.weights == pytest.approx(np.zeros((3, 2)), abs=1e-6)


def test_negative_weights_take_decisions_back():
    kept, taken = randomised(50), randomised(30, seed=1)
    vectors, centred, label, weight = taken
    assert_close(summed(kept, taken, (vectors, centred, label, -weight)), summed(kept))


def test_the_cut_of_batches_does_not_matter():
    parts = randomised(2500)
    whole = summed(parts)
    cuts = (0, 1, 1, 900, 2500)
    batches = [
        tuple(part[begin:end] for part in parts)
        for begin, end in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    assert_close(summed(*batches), whole)
    again = summed(parts).solve(3.0)
    assert all(np.array_equal(a, b) for a, b in zip(again, whole.solve(3.0), strict=True))


def test_a_draw_without_chance_tells_nothing():
    shown, label = np.arange(40) % 4, np.arange(40.0)
    vectors = np.column_stack([np.ones(40), np.tile([-1.0, 1.0], 20)])
    centred = centred_indicators(shown, np.eye(4)[shown])
    solved = summed((vectors, centred, label, np.ones(40))).solve(5.0)
    assert solved.weights.tolist() == np.zeros((3, 2)).tolist()
    # The prior of each of the three blocks of a mail, and of the two of an app.
    assert solved.covariance[0] == pytest.approx(solved.noise * 3 / 5 * np.eye(2))
    assert solved.covariance[2] == pytest.approx(solved.noise * 2 / 5 * np.eye(2))


def test_nothing_added_leaves_the_effects_at_0():
    solved = EffectSums(BLOCKS).solve(5.0)
    assert solved.noise == 0.0
    assert not solved.weights.any()
    assert not solved.covariance.any()


def test_margins_of_1e12_do_not_overflow():
    vectors, centred, label, weight = randomised(60)
    small = summed((vectors, centred, label, weight)).solve(3.0)
    large = summed((vectors, centred, label * 1e12, weight)).solve(3.0)
    assert large.weights / 1e12 == pytest.approx(small.weights)
    assert large.covariance / 1e24 == pytest.approx(small.covariance)


def test_a_thousand_actions_have_levels_of_their_own_and_share_slopes():
    names = tuple(f"action {number}" for number in range(1000))
    blocks = EffectBlocks(names, {}, 2)
    assert not blocks.has_own_slopes
    assert blocks.total == 2 * 2 + 1000
    customers = np.array([[1.0, -1.0], [1.0, 1.0]])
    chances = np.full((2, 1001), 1 / 1001)
    vectors, shown, centred, weight = expected_draws(customers, chances)
    level = np.append(np.arange(1000) / 100, 0.0)[shown]
    slope = np.where(shown < 1000, 0.5, 0.0)
    sums = EffectSums(blocks)
    tracemalloc.start()
    sums.add(vectors, centred, level + slope * vectors[:, 1] + 7, weight * 1e6)
    solved = sums.solve(1e-6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert solved.weights[:, 0] == pytest.approx(np.arange(1000) / 100, abs=1e-5)
    assert solved.weights[:, 1] == pytest.approx(np.full(1000, 0.5), abs=1e-5)
    assert np.isfinite(solved.covariance).all()
    assert peak < 80e6  # the sums take 8 MB


def log_density(label, rows, precision, noise):
    """Log of the density of normal labels, by their covariance."""
    covariance = noise * (np.eye(len(label)) + rows @ np.diag(1 / precision) @ rows.T)
    _, logarithm = np.linalg.slogdet(covariance)
    return -(label @ np.linalg.solve(covariance, label) + logarithm) / 2


def test_the_weight_of_the_prior_is_the_likeliest_one():
    vectors, centred, label, _ = randomised(60)
    sums = summed((vectors, centred, label, np.ones(60)))
    rows = BLOCKS.regressors(vectors, centred)
    found = []
    for times in (1 / 16, 4.0):
        posterior = sums._posterior(np.array([times * 50.0]))
        by_hand = log_density(label, rows, posterior.precision, 2.0)
        found.append(sums._evidence(posterior, 2.0) - by_hand)
    assert found[0] == pytest.approx(found[1])  # equal but for a constant


def test_large_effects_are_held_less_to_0_than_small_ones():
    vectors, centred, _, weight = randomised(4_000)
    noise = np.random.default_rng(3).normal(size=4_000)
    shares = []
    for size in (3.0, 0.0):
        sums = summed((vectors, centred, size * centred[:, 0] + noise, weight))
        held = (
            sums.solve(2_000.0).covariance[0, 0, 0]
            / sums.solve(2_000.0, (1.0,)).covariance[0, 0, 0]
        )
        shares.append(held)
    assert shares[0] > 1.2 and shares[1] <= 1.0


def test_one_action_may_do_much_where_the_others_do_nothing():
    vectors, centred, _, weight = randomised(4_000)
    noise = np.random.default_rng(5).normal(size=4_000)
    sums = summed((vectors, centred, centred[:, 0] + noise, weight))
    of_each = sums._likeliest(2_000.0, WEIGHTS).precision[BLOCKS.width :].reshape(-1, BLOCKS.width)
    first_own, other_own = of_each[-3, 0], of_each[-1, 0]  # the last blocks are those of actions
    assert first_own < other_own


def test_the_baseline_of_each_label_is_its_ridge_regression():
    rng = np.random.default_rng(2)
    vectors, labels = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    second = vectors.T @ vectors + 30 * np.eye(3)  # 10 decisions for each of 3 elements
    expected = np.linalg.inv(second) @ (vectors.T @ labels)
    assert plain_baseline(vectors, labels) == pytest.approx(expected)
    assert plain_baseline(vectors, labels[:, 0]) == pytest.approx(expected[:, 0])


@pytest.mark.parametrize("n_actions", [3, 800], ids=["slopes", "levels"])
def test_the_prior_of_mean_effects_has_a_weight_of_its_own(n_actions):
    """One of 0 decisions leaves a mean effect as it is; a strong one holds how it differs."""
    blocks = EffectBlocks(tuple(f"action {number}" for number in range(n_actions)), {}, 2)
    customers = np.array([[1.0, -1.0], [1.0, 1.0]])
    chances = np.full((2, n_actions + 1), 1 / (n_actions + 1))
    vectors, _, centred, weight = expected_draws(customers, chances)
    sums = EffectSums(blocks, level_prior=1e-6)
    sums.add(vectors, centred, centred.sum(axis=1) * (5 + 3 * vectors[:, 1]), weight)
    solved = sums.solve(1e6, (1.0,))
    assert blocks.has_own_slopes == (n_actions == 3)
    assert solved.weights[:, 0] == pytest.approx(np.full(n_actions, 5.0), abs=0.1)
    assert np.abs(solved.weights[:, 1:]).max() < 0.01


@pytest.mark.parametrize(("mean", "expected"), [(0.0, 625.0), (5.0, 625.0 / 4096)])
def test_the_weight_of_mean_effects_is_chosen_apart_from_that_of_how_they_differ(mean, expected):
    blocks = EffectBlocks(("a", "b"), {}, 2)
    sums = EffectSums(blocks, level_prior=625.0)
    customers = np.random.default_rng(3).normal(size=(4_000, 2)) * [0.0, 1.0] + [1.0, 0.0]
    vectors, _, centred, weight = expected_draws(customers, np.full((4_000, 3), 1 / 3))
    label = centred[:, 0] * (mean + 9 * vectors[:, 1])
    sums.add(vectors, centred, label, weight)
    precision = sums._likeliest(40_000.0, (1 / 4096, 1.0)).precision
    assert set(precision[blocks.is_level]) == {expected}
    differs = ~blocks.is_level & (blocks.block_of > 0)
    assert precision[differs].min() == 40_000 / 4096


@pytest.mark.parametrize(("level_sd", "expected"), [(0.0, 625.0), (0.5, 625.0), (0.1, 900.0)])
def test_the_weight_of_mean_effects_follows_from_what_may_be_expected(level_sd, expected):
    """Labels of a standard deviation of 3, and none of the actions has an effect."""
    rng, blocks = np.random.default_rng(4), EffectBlocks(("a", "b"), {}, 2)
    vectors = np.column_stack([np.ones(20_000), rng.normal(size=20_000)])
    shown, chances = rng.integers(0, 3, 20_000), np.full((20_000, 3), 1 / 3)
    sums = EffectSums(blocks, 625.0, level_sd)
    centred, label = centred_indicators(shown, chances), rng.normal(0, 3, 20_000)
    sums.add(vectors, centred, label, np.ones(20_000))
    precision = sums._likeliest(40_000.0, (1.0,)).precision
    assert precision[blocks.is_level] == pytest.approx(expected, rel=0.03)
