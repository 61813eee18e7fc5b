"""The variance of outcomes: that of rates of 0 and 1, and the dispersion of others beside it."""

from __future__ import annotations

import numpy as np

from training.arrays import Floats

TINY = 1e-9  # a rate is at least so far from 0 and from 1


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


def mean_variance(rates: Floats) -> float | None:
    """Mean of p (1 - p) over rates p; None if there are none, or if they are no rates."""
    if not len(rates) or not are_rates(rates):
        return None
    return float(rate_variance(rates, rates, np.ones(1)).mean())


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
