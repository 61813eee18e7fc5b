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

from training.models.calibration import Scaling
from training.models.classifier import Classifier, fit_classifier, forward_log_loss
from training.models.metrics import expected_calibration_error, log_loss
from training.models.splits import forward_splits

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


def test_calibrated_probabilities_match_observed_shares(churn):
    later = a_world(20_000, 2, seed=3)
    error = expected_calibration_error(later.y, churn.probabilities(later.x)[:, 1])
    # 4 standard errors of the share in one of ten bins, the worst case p = 1/2.
    assert error < 4 * 0.5 / np.sqrt(2_000)


def test_overfitted_probabilities_are_corrected():
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
        lambda what, done, of: told.append((done, of)),
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


@pytest.mark.process
def test_threads_that_wait_for_each_other_give_up_their_cores():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    loaded = subprocess.run(
        [sys.executable, "-c", "import training.models.classifier"],
        env={**environment, "OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    policies = [line.split("=")[1] for line in loaded.stderr.splitlines() if "WAIT_POLICY" in line]
    assert {policy.strip() for policy in policies} == {"'PASSIVE'"}
