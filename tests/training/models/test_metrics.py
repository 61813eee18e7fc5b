"""Figures of merit against worked examples, and against a world whose chances are known."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from training.models.metrics import (
    expected_calibration_error,
    importance_plot,
    log_loss,
    prior_log_loss,
    reliability,
    reliability_plot,
    roc_auc,
)


@pytest.mark.parametrize(
    ("p", "auc"),
    [([0.1, 0.4, 0.35, 0.8], 0.75), ([0.1, 0.2, 0.7, 0.8], 1.0), ([0.5] * 4, 0.5)],
)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(p, auc):
    assert roc_auc(np.array([0, 0, 1, 1]), np.array(p)) == pytest.approx(auc)


def test_log_loss_is_the_mean_surprise_in_nats():
    p = np.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])
    assert log_loss(np.array([0, 2]), p) == pytest.approx(np.log(2))


def test_log_loss_accepts_moments_on_which_one_class_never_happened():
    p = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]])
    assert log_loss(np.array([0, 0]), p) == pytest.approx(-np.log(0.8))


def test_prior_log_loss_answers_the_smoothed_shares_of_training():
    # Shares (3 + 1) / (4 + 2) and (1 + 1) / (4 + 2), asked about one of each.
    expected = -(np.log(4 / 6) + np.log(2 / 6)) / 2
    assert prior_log_loss(np.array([0, 0, 0, 1]), np.array([0, 1]), 2) == pytest.approx(expected)


def test_prior_log_loss_is_finite_for_a_class_never_trained_on():
    assert prior_log_loss(np.array([0, 0]), np.array([2]), 3) == pytest.approx(np.log(5))


def test_reliability_sorts_by_prediction_into_bins_of_equal_size():
    y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.7, 0.3])
    predicted, observed, count = reliability(y, p, bins=2)
    assert predicted.tolist() == pytest.approx([0.2, 0.8])
    assert observed.tolist() == [0.0, 1.0]
    assert count.tolist() == [2, 2]


def test_reliability_leaves_out_bins_that_would_be_empty():
    predicted, observed, count = reliability(np.array([0, 1]), np.array([0.2, 0.6]))
    assert predicted.tolist() == [0.2, 0.6]
    assert observed.tolist() == [0.0, 1.0]
    assert count.tolist() == [1, 1]


def test_calibration_error_of_a_constant_that_is_off_is_how_far_off_it_is():
    y = np.tile([0, 0, 0, 1], 100)
    assert expected_calibration_error(y, np.full(400, 0.4)) == pytest.approx(0.15)


def test_calibration_error_of_the_true_chances_is_small():
    rng = np.random.default_rng(3)
    p = rng.uniform(0.05, 0.95, 20_000)
    y = (rng.random(20_000) < p).astype(np.int64)
    # 4 standard errors of the share in one bin, the worst case p = 1/2.
    bound = 4 * 0.5 / np.sqrt(2_000)
    assert expected_calibration_error(y, p) < bound
    assert expected_calibration_error(y, 1 - p) > bound  # the test can fail


@pytest.mark.parametrize(("classes", "curves"), [(("stay", "churn"), 1), (("a", "b", "c"), 3)])
def test_the_reliability_picture_has_one_curve_a_class_beside_the_diagonal(classes, curves):
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.ones(len(classes)), 60)
    y = rng.integers(0, len(classes), 60)
    [axes] = reliability_plot(y, p, classes).axes
    assert len(axes.lines) == curves + 1
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == list(classes[-curves:])


def test_a_class_of_any_text_stands_in_the_reliability_picture():
    classes = ("$\\bad{$", "_no", "Да [x]")
    figure = reliability_plot(np.array([0, 1, 2] * 20), np.full((60, 3), 1 / 3), classes)
    figure.savefig(BytesIO(), format="png")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["$\\bad{$", " _no", "Да [x]"]


def test_the_importance_picture_shows_the_features_that_matter_most():
    [axes] = importance_plot(("a", "b", "c"), np.array([1.0, 6.0, 3.0]), most=2).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "b"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.3, 0.6])


def test_the_importance_picture_survives_trees_that_never_split():
    [axes] = importance_plot(("a", "b"), np.zeros(2)).axes
    assert [bar.get_width() for bar in axes.patches] == [0.0, 0.0]
