"""Penalised generalised linear models: logistic and Poisson regression with Gaussian priors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.arrays import Floats

TOLERANCE = 0.01  # Newton's method stops when no weight changes by more
TINY = 1e-9  # a rate is at least so far from 0 and from 1
MAX_LOGIT = 30.0  # linear predictors are clipped to this range

# Maps linear predictors (n,) to means and variances, each (n,).
Link = Callable[[Floats], tuple[Floats, Floats]]


def logistic(linear: Floats) -> tuple[Floats, Floats]:
    """Compute mean and variance of a binary outcome with log-odds ``linear``."""
    mean = 1 / (1 + np.exp(-np.clip(linear, -MAX_LOGIT, MAX_LOGIT)))
    return mean, mean * (1 - mean)


def poisson(linear: Floats) -> tuple[Floats, Floats]:
    """Compute mean and variance of a rare outcome with log mean ``linear``, by Poisson."""
    mean = np.exp(np.clip(linear, -MAX_LOGIT, 0.0))
    return mean, mean


def fit_glm(
    v: Floats,
    y: Floats,
    link: Link,
    penalty: Floats,
    prior: Floats,
    start: Floats,
    *,
    steps: int,
    offset: Floats | float = 0.0,
) -> Floats:
    """Fit weights w of the model E[y] = link(offset + v @ w), by penalised maximum likelihood.

    Uses Newton's method with steps of at most 1 in each weight.

    Parameters
    ----------
    v : shape (n, width)
    y : shape (n,)
    penalty, prior : shape (width,)
        Precision and mean of each weight's Gaussian prior.
    start : shape (width,)
        Initial weights.
    steps : int
        Maximum number of Newton steps.

    References
    ----------
    McCullagh & Nelder (1989), "Generalized Linear Models", sections 2.5, 4.4 and 6.2.
    """
    weights = start
    for _ in range(steps):
        mean, variance = link(offset + v @ weights)
        slope = v.T @ (y - mean) - penalty * (weights - prior)
        curve = (v * variance[:, None]).T @ v + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        longest = float(np.abs(step).max())
        weights = weights + step / max(1.0, longest)
        if longest < TOLERANCE:
            break
    return weights


def with_intercept(x: Floats) -> Floats:
    """Prepend a column of ones, shape (n, 1 + n_features)."""
    return np.column_stack([np.ones(len(x)), x])


def share_of_prior(weight: Floats, counted: Floats) -> Floats:
    """Share of a prior mean in the posterior one, by its weight in outcomes.

    The posterior mean is share x prior mean + (1 - share) x mean of the outcomes.
    """
    return weight / (weight + counted)


def rate_variance(prior: Floats, rate: Floats, share: Floats) -> Floats:
    """Variance p (1 - p) of single outcomes 0 and 1; p mixes a prior rate and that of outcomes.

    Parameters
    ----------
    prior : shape (n,)
    rate : shape (n,)
        NaN where there are no outcomes.
    share : shape (n,)
        See `share_of_prior`.
    """
    known = np.where(np.isnan(rate), prior, rate)
    p = np.clip(share * prior + (1 - share) * known, TINY, 1 - TINY)
    found: Floats = p * (1 - p)
    return found


def are_rates(values: Floats) -> bool:
    """Tell if all values are between 0 and 1."""
    return bool((values >= 0).all() and (values <= 1).all())


def dispersion_of(noise: float, variances: Floats, counted: Floats) -> float:
    """Noise of all outcomes, divided by the mean of some variances by the counts of outcomes."""
    return noise / float(np.average(variances, weights=counted if counted.any() else None))


def dispersion_of_rates(
    noise: float, prior: Floats, weight: Floats, rate: Floats, counted: Floats
) -> float | None:
    """Noise of all outcomes, divided by the mean of p (1 - p), with p the rate of each group.

    A group with a small rate has so less noise than at the same noise for all.

    Parameters
    ----------
    prior, weight : shape (n,)
        Prior rate of each group, and the weight of that, in outcomes.
    rate, counted : shape (n,)
        Mean of the outcomes, and their number; the mean is not read where there are none.

    Returns
    -------
    None if a mean is no rate, or if there is no group.
    """
    known = np.append(prior, rate[counted > 0])
    if not len(known) or not are_rates(known):
        return None
    share = share_of_prior(weight, counted)
    return dispersion_of(noise, rate_variance(prior, rate, share), counted)
