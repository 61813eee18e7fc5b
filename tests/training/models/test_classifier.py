"""The classifier in a world whose chances we know: calibrated, forward in time, repeatable."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from training.models.classifier import (
    FOLDS,
    Classifier,
    Scaling,
    customer_splits,
    fit_classifier,
    fit_scaling,
    forward_log_loss,
    forward_splits,
)
from training.models.metrics import expected_calibration_error, log_loss

NAMES = ("signal", "noise")
BINARY, TERNARY = ("stay", "churn"), ("a", "b", "c")
PARAMS = {"rounds": 25, "num_leaves": 7, "learning_rate": 0.15, "min_child_samples": 50}
SEED = 11


@dataclass(frozen=True)
class World:
    """A sample of labels, and the true probability of each class."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    truth: NDArray[np.float64]
    at_us: NDArray[np.int64]


def a_world(n: int, n_classes: int, seed: int) -> World:
    """Classes by a softmax in the first feature; twenty moments, 10 microseconds apart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    truth = softmax(np.outer(x[:, 0], np.linspace(-1, 1, n_classes)), axis=1)
    y = (truth.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return World(x, y, truth, np.sort(rng.integers(0, 20, n)) * 10)


def fit(world: World, classes: tuple[str, ...], **changed: float) -> Classifier:
    splits = forward_splits(world.at_us, label_us=10, seed=SEED)
    return fit_classifier(world.x, world.y, splits, NAMES, classes, PARAMS | changed, SEED)


@pytest.fixture(scope="module")
def churn() -> Classifier:
    return fit(a_world(8_000, 2, seed=1), BINARY)


@pytest.fixture(scope="module")
def intent() -> Classifier:
    return fit(a_world(6_000, 3, seed=2), TERNARY)


def test_calibrated_probabilities_can_be_taken_at_their_word(churn):
    later = a_world(20_000, 2, seed=3)
    error = expected_calibration_error(later.y, churn.probabilities(later.x)[:, 1])
    # 4 standard errors of the share in one of ten bins, the worst case p = 1/2.
    assert error < 4 * 0.5 / np.sqrt(2_000)


def test_what_is_overfitted_is_calibrated_back():
    """Deep trees without restraint shout; the held-out blocks teach them to speak softly."""
    shouting = {"rounds": 150, "num_leaves": 63, "min_child_samples": 2}
    model = fit(a_world(3_000, 2, seed=4), BINARY, **shouting)
    later = a_world(20_000, 2, seed=5)
    raw = Classifier(model.booster, NAMES, BINARY, Scaling(1.0, (0.0, 0.0)))
    calibrated, shouted = (m.probabilities(later.x)[:, 1] for m in (model, raw))
    assert model.scaling.slope < 0.7
    assert expected_calibration_error(later.y, calibrated) < 0.06
    assert expected_calibration_error(later.y, shouted) > 0.12


@pytest.mark.parametrize(("which", "n_classes"), [("churn", 2), ("intent", 3)])
def test_probabilities_are_near_the_truth_and_sum_to_1(which, n_classes, request):
    model, world = request.getfixturevalue(which), a_world(20_000, n_classes, seed=6)
    p = model.probabilities(world.x)
    assert p.shape == (20_000, n_classes)
    assert p.sum(axis=1) == pytest.approx(np.ones(20_000))
    # Each class's mean against its share, within 4 standard errors of training and test shares.
    assert p.mean(axis=0) == pytest.approx(world.truth.mean(axis=0), abs=4 * 0.5 / np.sqrt(3_000))
    entropy = -(world.truth * np.log(world.truth)).sum(axis=1).mean()
    always = np.log(n_classes)
    # The truth cannot be beaten; most of what can be known should be.
    assert log_loss(world.y, p) < entropy + 0.25 * (always - entropy)


def test_the_feature_that_matters_has_the_gain(churn):
    signal, noise = churn.gain
    assert signal > 10 * noise


def test_one_row_alone_gets_what_it_gets_among_many(intent):
    x = a_world(50, 3, seed=7).x
    assert intent.probabilities(x[:1]).tolist() == intent.probabilities(x)[:1].tolist()


@pytest.mark.parametrize("which", ["churn", "intent"])
def test_a_saved_model_gives_the_same_probabilities(which, request, tmp_path):
    model = request.getfixturevalue(which)
    model.save(tmp_path / "new" / "folder")
    back = Classifier.load(tmp_path / "new" / "folder")
    x = a_world(200, 2, seed=8).x
    assert (back.features, back.classes, back.scaling) == (NAMES, model.classes, model.scaling)
    assert back.probabilities(x).tolist() == model.probabilities(x).tolist()


def test_the_same_seed_gives_the_same_predictions():
    world = a_world(2_000, 2, seed=9)
    sampled = {"feature_fraction": 0.5, "bagging_fraction": 0.5, "bagging_freq": 1}
    one, two = fit(world, BINARY, **sampled), fit(world, BINARY, **sampled)
    assert one.probabilities(world.x).tolist() == two.probabilities(world.x).tolist()


def test_forward_log_loss_is_that_of_the_held_out_rows_under_earlier_trees():
    world = a_world(4_000, 2, seed=12)
    splits = forward_splits(world.at_us, label_us=10, seed=SEED)
    loss = forward_log_loss(world.x, world.y, splits, NAMES, 2, PARAMS, SEED)
    entropy = -(world.truth * np.log(world.truth)).sum(axis=1).mean()
    assert entropy - 0.03 < loss < np.log(2)


def test_progress_counts_to_the_end():
    world, told = a_world(500, 2, seed=10), []
    splits = forward_splits(world.at_us, label_us=10, seed=SEED)
    fit_classifier(
        world.x,
        world.y,
        splits,
        NAMES,
        BINARY,
        PARAMS | {"rounds": 2},
        SEED,
        lambda done, of: told.append((done, of)),
    )
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


# Contributions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("which", "n_classes"), [("churn", 2), ("intent", 3)])
def test_contributions_add_up_to_the_raw_scores_that_become_the_probabilities(
    which, n_classes, request
):
    model = request.getfixturevalue(which)
    rows = a_world(30, n_classes, seed=31).x
    rows[0, 0] = np.nan
    for row in rows:
        found = model.contributions(row)
        assert (found.of, found.features) == (model.classes, NAMES)
        assert found.effects.shape == (n_classes, len(NAMES))
        raw = np.atleast_1d(model.booster.predict(row[None, :], raw_score=True)[0])
        # A sum of 25 leaves for each class, in another order.
        assert found.scores[-len(raw) :] == pytest.approx(raw, abs=1e-12)
        p = model.scaling.apply(found.scores[None, :])
        assert p == pytest.approx(model.probabilities(row[None, :]), abs=1e-12)


def test_of_two_classes_the_first_has_score_0_and_slope_x_effect_adds_to_the_calibrated_odds(churn):
    row = np.array([1.5, 0.0])
    found = churn.contributions(row)
    assert found.baseline[0] == 0.0 and not found.effects[0].any()
    p = churn.probabilities(row[None, :])[0]
    slope, bias = churn.scaling.slope, churn.scaling.bias[1]
    told = slope * found.effects[1].sum() + slope * found.baseline[1] + bias
    assert np.log(p[1] / p[0]) == pytest.approx(told, abs=1e-9)


def test_the_signal_moves_the_score_its_way_and_the_noise_hardly(churn):
    """The true log odds of the world are twice the signal."""
    high, low = (churn.contributions(np.array([signal, 0.0])).effects[1] for signal in (1.5, -1.5))
    assert high[0] > 1.5 and low[0] < -1.5
    assert max(abs(high[1]), abs(low[1])) < 0.5


def test_threads_that_explain_and_predict_at_once_get_what_one_alone_gets(intent, tmp_path):
    intent.save(tmp_path)
    rows = a_world(40, 3, seed=32).x
    alone = [
        (intent.contributions(row).effects, intent.probabilities(row[None, :])) for row in rows
    ]
    fresh = Classifier.load(tmp_path)  # has not explained anything yet

    def ask(row):
        return fresh.contributions(row).effects, fresh.probabilities(row[None, :])

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(ask, rows))
    for (effects, chances), (effects_alone, chances_alone) in zip(together, alone, strict=True):
        assert effects == pytest.approx(effects_alone, abs=1e-12)
        assert chances == pytest.approx(chances_alone, abs=1e-12)


# Calibration -----------------------------------------------------------------------------------


def test_fit_scaling_recovers_the_slope_and_bias_of_a_world_we_know():
    rng = np.random.default_rng(21)
    n, slope, bias = 40_000, 0.5, 0.7
    z = rng.normal(scale=2.0, size=n)
    chance = 1 / (1 + np.exp(-(slope * z + bias)))
    y = (rng.random(n) < chance).astype(np.int64)
    found = fit_scaling(np.column_stack([np.zeros(n), z]), y)
    # Standard errors from the Fisher information of this logistic regression.
    design = np.column_stack([z, np.ones(n)])
    information = (design * (chance * (1 - chance))[:, None]).T @ design
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    shrunk = 0.01  # SHRINK pulls both a little towards 1 and 0
    assert found.bias[0] == 0.0
    assert abs(found.slope - slope) < 4 * error[0] + shrunk
    assert abs(found.bias[1] - bias) < 4 * error[1] + shrunk


def test_fit_scaling_recovers_one_bias_for_each_class():
    rng = np.random.default_rng(22)
    n, bias = 40_000, np.array([0.0, 0.8, -0.4])
    logits = rng.normal(size=(n, 3))
    chance = softmax(1.5 * logits + bias, axis=1)
    y = (chance.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    found = fit_scaling(logits, y)
    # 4 standard errors; each class has at least 15 % of the rows, so its log odds are known to
    # 1 / sqrt(0.15 x 0.85 x n) or better, and 0.01 is for SHRINK.
    tolerance = 4 / np.sqrt(0.15 * 0.85 * n) + 0.01
    assert np.bincount(y).min() > 0.15 * n
    assert found.bias == pytest.approx(bias, abs=tolerance)
    assert found.slope == pytest.approx(1.5, abs=tolerance)


def test_logits_that_are_right_already_are_left_alone():
    rng = np.random.default_rng(23)
    n = 40_000
    logits = np.column_stack([np.zeros(n), rng.normal(scale=2.0, size=n)])
    y = (rng.random(n) < softmax(logits, axis=1)[:, 1]).astype(np.int64)
    found = fit_scaling(logits, y)
    assert found.slope == pytest.approx(1.0, abs=0.05)  # the Fisher error is 0.01
    assert found.bias == pytest.approx([0.0, 0.0], abs=0.06)  # and 0.013


def test_scaling_is_a_softmax_of_slope_and_bias():
    p = Scaling(2.0, (0.0, np.log(3.0))).apply(np.array([[0.0, 0.0], [0.0, -np.log(3.0)]]))
    assert p.tolist() == [pytest.approx([0.25, 0.75]), pytest.approx([0.75, 0.25])]


# Splits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_us", [0, 1, 10, 35, 50])
def test_no_split_trains_on_a_label_that_was_not_settled_before_its_block_begins(label_us):
    at_us = a_world(1_000, 2, seed=13).at_us
    splits = forward_splits(at_us, label_us, SEED)
    assert len(splits) == 3
    for known, later in splits:
        begins = at_us[later].min()
        assert (at_us[known] + label_us).max() <= begins and at_us[known].max() < begins
        selected = (at_us + label_us <= begins) & (at_us < begins)
        assert known.tolist() == np.flatnonzero(selected).tolist()  # nor leaves one out


def test_the_blocks_are_the_later_half_of_the_moments_each_once():
    at_us = np.repeat(np.arange(12) * 100, 3)
    blocks = [at_us[later] for _, later in forward_splits(at_us, 100, SEED)]
    assert [sorted(set(block.tolist())) for block in blocks] == [
        [600, 700],
        [800, 900],
        [1000, 1100],
    ]
    assert sum(len(block) for block in blocks) == 18


@pytest.mark.parametrize(
    ("at_us", "label_us"),
    [
        (np.zeros(100, dtype=np.int64), 10),
        (np.repeat([0, 100], 50), 10),
        (np.repeat(np.arange(8), 12), 1_000),
    ],
    ids=["one moment", "two moments", "labels that look past the end"],
)
def test_falls_back_to_folds_where_time_is_too_short(at_us, label_us):
    splits = forward_splits(at_us, label_us, SEED)
    assert len(splits) == FOLDS
    for known, later in splits:
        assert sorted([*known, *later]) == list(range(len(at_us)))
    held_out = np.concatenate([later for _, later in splits])
    assert sorted(held_out) == list(range(len(at_us)))


def test_each_label_may_look_ahead_by_a_length_of_its_own():
    at_us = a_world(1_000, 2, seed=14).at_us
    ahead_us = np.random.default_rng(15).integers(0, 60, 1_000)
    for known, later in forward_splits(at_us, ahead_us, SEED):
        begins = at_us[later].min()
        selected = (at_us + ahead_us <= begins) & (at_us < begins)
        assert known.tolist() == np.flatnonzero(selected).tolist()


def test_folds_are_drawn_by_the_seed():
    at_us = np.zeros(100, dtype=np.int64)

    def first_fold(seed: int) -> list[int]:
        return forward_splits(at_us, 10, seed)[0][1].tolist()

    assert first_fold(1) == first_fold(1)
    assert first_fold(1) != first_fold(2)


def test_each_customer_is_left_out_once_with_all_its_rows():
    rng = np.random.default_rng(31)
    ids = rng.choice([f"c{number}" for number in range(40)], 200).astype(object)
    splits = customer_splits(ids, rng.integers(0, 3, 200), 4, SEED)
    assert sorted(np.concatenate([left_out for _, left_out in splits])) == list(range(200))
    for known, left_out in splits:
        assert sorted([*known, *left_out]) == list(range(200))
        assert set(ids[known]).isdisjoint(ids[left_out])


def test_every_fold_of_customers_has_its_share_of_each_class():
    ids = np.array([f"c{number}" for number in range(103)], dtype=object)
    y = (np.arange(103) < 12).astype(np.int64)
    counts = [np.bincount(y[left_out]) for _, left_out in customer_splits(ids, y, 5, SEED)]
    # Dealt out one by one: shares differ by one customer at most.
    assert all(np.ptp(one_class) <= 1 for one_class in np.array(counts).T)


def test_folds_of_customers_are_drawn_by_the_seed():
    ids = np.array([f"c{number}" for number in range(50)], dtype=object)

    def first(seed: int) -> list[int]:
        return customer_splits(ids, np.zeros(50, dtype=np.int64), 5, seed)[0][1].tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_there_are_no_more_folds_than_customers():
    ids, y = np.array(["a", "a", "b"], dtype=object), np.array([0, 1, 1])
    held_out = [left_out.tolist() for _, left_out in customer_splits(ids, y, 5, SEED)]
    assert sorted(held_out) == [[0, 1], [2]]


def test_threads_that_wait_for_each_other_give_up_their_cores():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    loaded = subprocess.run(
        [sys.executable, "-c", "import training.classifier"],
        env={**environment, "OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    policies = [line.split("=")[1] for line in loaded.stderr.splitlines() if "WAIT_POLICY" in line]
    assert {policy.strip() for policy in policies} == {"'PASSIVE'"}
