"""Tests for a sample ratio mismatch: whether arms are as large as their shares say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_EXPECTED = 5  # expected customers in an arm for a chi-square test (Cochran 1954)
MISMATCH_P = 0.001  # p-value of a sample ratio mismatch


def sample_ratio_p(customers: Sequence[int], shares: Sequence[float]) -> float | None:
    """Compute the p-value of the sizes of arms, given their planned shares.

    A chi-square test over all arms. If an arm expects fewer than `MIN_EXPECTED` customers, an
    exact binomial test of each arm against the others; the smallest p-value counts as many times
    as there are tests (Bonferroni). Of two arms one test is enough.

    Parameters
    ----------
    customers : shape (n_arms,)
    shares : shape (n_arms,)
        They sum to 1.

    Returns
    -------
    float or None
        None without customers.

    References
    ----------
    Fabijan et al. (2019), "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments".
    """
    total = sum(customers)
    if not total:
        return None
    if any(count and not share for count, share in zip(customers, shares, strict=True)):
        return 0.0
    sizes = [(n, share) for n, share in zip(customers, shares, strict=True) if share > 0]
    if len(sizes) < 2:
        return 1.0
    from scipy.stats import binomtest, chisquare  # half a second, which only a lift needs to spend

    expected = np.array([total * share for _, share in sizes])
    if expected.min() >= MIN_EXPECTED:
        return float(chisquare([n for n, _ in sizes], expected).pvalue)
    tests = sizes[1:] if len(sizes) == 2 else sizes
    found = min(float(binomtest(n, total, share).pvalue) for n, share in tests)
    return min(1.0, found * len(tests))
