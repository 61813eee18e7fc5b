"""Metrics of probabilistic predictions, and plots of calibration and feature importance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import log_loss as _log_loss
from sklearn.metrics import roc_auc_score

from training.arrays import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10


def roc_auc(y: Ints, p: Floats) -> float:
    """Compute the probability that a positive is ranked above a negative; ``y`` is 0 or 1."""
    return float(roc_auc_score(y, p))


def log_loss(y: Ints, p: Floats) -> float:
    """Compute the mean -log p of the observed class, in nats; ``p`` of shape (n, n_classes)."""
    return float(_log_loss(y, p, labels=np.arange(p.shape[1])))


def prior_log_loss(train_y: Ints, y: Ints, n_classes: int) -> float:
    """Compute the log loss of a constant prediction: the class shares of the training rows."""
    shares = (np.bincount(train_y, minlength=n_classes) + 1) / (len(train_y) + n_classes)
    return log_loss(y, np.tile(shares, (len(y), 1)))


def reliability(y: Ints, p: Floats, bins: int = BINS) -> tuple[Floats, Floats, Ints]:
    """Compute mean prediction, observed share and count in bins of equal count, lowest first.

    Parameters
    ----------
    y : shape (n,), 0 or 1
    p : shape (n,), predicted probability of 1
    """
    groups = [group for group in np.array_split(np.argsort(p, kind="stable"), bins) if len(group)]
    predicted = np.array([p[group].mean() for group in groups])
    observed = np.array([y[group].mean() for group in groups])
    return predicted, observed, np.array([len(group) for group in groups])


def expected_calibration_error(y: Ints, p: Floats) -> float:
    """Compute the mean distance of predicted and observed shares over ten bins of equal count.

    References
    ----------
    Naeini, Cooper & Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning"; bins of equal mass after Nixon et al. (2019).
    """
    predicted, observed, count = reliability(y, p)
    return float(np.average(np.abs(predicted - observed), weights=count))


def reliability_plot(y: Ints, p: Floats, classes: tuple[str, ...]) -> Figure:
    """Draw one reliability curve per class (one in all for two classes); ideal is the diagonal.

    Parameters
    ----------
    y : shape (n,), class index
    p : shape (n, n_classes)
    """
    figure, axes = _figure("Reliability on the held-out rows")
    shown = range(1, len(classes)) if len(classes) == 2 else range(len(classes))
    for index in shown:
        predicted, observed, _ = reliability((y == index).astype(np.int64), p[:, index])
        # A class may be any text; matplotlib leaves out labels that begin with an underscore.
        label = re.sub("^_", " _", classes[index])
        axes.plot(predicted, observed, marker="o", label=label)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.set(xlabel="predicted", ylabel="observed")
    for text in axes.legend().get_texts():
        text.set_parse_math(False)  # "$5" is no formula
    return figure


def importance_plot(names: tuple[str, ...], gain: Floats, most: int = 20) -> Figure:
    """Draw the features with the largest loss reduction (LightGBM gain, as a share of all)."""
    figure, axes = _figure("Importance of features")
    top = np.argsort(gain)[-most:]
    axes.barh([names[index] for index in top], gain[top] / max(gain.sum(), 1e-12))
    axes.set(xlabel="share of gain")
    figure.tight_layout()
    return figure


def _figure(title: str) -> tuple[Figure, Any]:
    # Figure without pyplot: no window, no global state, safe in any thread.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.5), dpi=110)
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
