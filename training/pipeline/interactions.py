"""Finds pairs of features whose product tells by whom an action is accepted.

The bandit's linear experts read a hundred features at once, and their Fourier features hardly show
a product of two of these. Boosted trees find it slowly. So where a log is there before the bandit
is, each pair is tested, and the products that matter become columns of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import chi2

from training.arrays import Bools, Floats, Indices

MOST_PAIRS = 16
AT_ONCE = 4  # pairs, at most, that are taken before the others are tested again
LEVEL = 0.01  # chance, at most, that any pair is taken where none matters
RIDGE = 100.0  # precision of the weights, in outcomes, of what the features explain by themselves
LEAST_OUTCOMES = 200  # of an action; actions with fewer are tested together
ALIKE = 0.7  # products that are correlated by more are taken one after the other
WORK = 3e9  # rows x columns^2, at most: some seconds
TINY = 1e-12


def find_pairs(
    columns: Floats, actions: Sequence[str], acceptance: Floats, count: Floats
) -> list[tuple[int, int]]:
    """Find the pairs of columns whose product adds to what the columns tell by themselves.

    For each action, acceptance is first regressed on the columns. The score statistic of a pair is
    the squared covariance of its product with what is left, over its variance; summed over actions
    it has a chi-squared distribution where the pair does not matter. The pairs with the largest
    sums are taken, if they are significant among so many pairs (Bonferroni), and all are tested
    again beside these.

    Parameters
    ----------
    columns : shape (n, n_columns)
        Standardised features, and indicators.
    actions : n texts
    acceptance, count : shape (n,)
        The outcome of each, and its weight.

    Returns
    -------
    list of pairs of int
        Indexes of columns, at most `MOST_PAIRS`; a column may be paired with itself.

    References
    ----------
    Rao (1948), "Large sample tests of statistical hypotheses concerning several parameters with
    applications to problems of estimation", for the score test.
    """
    n, n_columns = columns.shape
    if not n or not n_columns:
        return []
    most = int(np.clip(WORK / n_columns**2, LEAST_OUTCOMES, n))
    some = np.linspace(0, n - 1, most).astype(np.intp)
    z, y, c = columns[some], acceptance[some], count[some]
    groups = list(_groups(np.array([actions[index] for index in some], dtype=object)))
    upper = np.triu_indices(n_columns)
    found: list[tuple[int, int]] = []
    while groups and len(found) < MOST_PAIRS:
        scores = sum(_scores(z[mine], found, y[mine], c[mine]) for mine in groups)
        each = np.asarray(scores)[upper]
        significant = chi2.sf(each, len(groups)) * len(each) < LEVEL
        best = [index for index in np.argsort(-each)[: 4 * AT_ONCE] if significant[index]]
        pairs = [(int(upper[0][index]), int(upper[1][index])) for index in best]
        new = _unlike(z, [pair for pair in pairs if pair not in found])
        if not new:
            break
        found += new[: MOST_PAIRS - len(found)]
    return found


def _groups(actions: Indices) -> Iterator[Bools]:
    """Mark the outcomes of each action, and together those of all actions with few of them."""
    names, which, counts = np.unique(actions, return_inverse=True, return_counts=True)
    few = counts < LEAST_OUTCOMES
    for number in np.flatnonzero(~few):
        yield which == number
    together = few[which]
    if together.sum() >= LEAST_OUTCOMES:
        yield together


def _scores(z: Floats, taken: Sequence[tuple[int, int]], y: Floats, c: Floats) -> Floats:
    """Score statistics of all pairs for one action, shape (n_columns, n_columns)."""
    known = np.column_stack([np.ones(len(z)), z, *(z[:, a] * z[:, b] for a, b in taken)])
    weighted = known * c[:, None]
    penalty = np.full(known.shape[1], RIDGE)
    penalty[0] = TINY
    left = y - known @ np.linalg.solve(weighted.T @ known + np.diag(penalty), weighted.T @ y)
    left -= (c @ left) / c.sum()
    covariance = (z * (c * left)[:, None]).T @ z
    squares, squared = (c**2).sum(), np.square(z)
    mean = (z * (c**2)[:, None]).T @ z / squares
    spread = (squared * (c**2)[:, None]).T @ squared - squares * mean**2
    variance = spread * float((c * left**2).sum() / c.sum())
    scores: Floats = np.where(spread > TINY * squares, covariance**2 / (variance + TINY), 0.0)
    return scores


def _unlike(z: Floats, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first pairs, at most `AT_ONCE`, whose products are not much alike."""
    taken: list[tuple[int, int]] = []
    products: list[Floats] = []
    for a, b in pairs:
        product = z[:, a] * z[:, b]
        product = (product - product.mean()) / max(float(product.std()), TINY)
        if all(abs(float(product @ other)) < ALIKE * len(z) for other in products):
            taken.append((a, b))
            products.append(product)
        if len(taken) == AT_ONCE:
            break
    return taken
