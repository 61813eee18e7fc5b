"""The parts of the surrogate: which actions change the rate of leaving through which features.

A hundred features move by chance between a decision and the look, and a few are moved by actions.
An action that does not move a feature cannot change leaving through it, so what the others do there
is noise. Left out, it hides the effects no longer, and they are learned from a fraction of the
decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.arrays import Floats, Ints
from training.effects.effect_directions import least_statistic

MAX_CHANGE = 2.0  # of the log rate of leaving between a decision and the look
# Probability that some feature is taken for moved by some action, where none is.
FALSE_ALARM = 0.05
ALONE = 3.0  # a feature is moved by one action alone where the others' t-statistics are below it
MOST_APART = 24  # actions; of more, none has a part of its own
LEAST_FREE = 1e-6  # of a decision that decides its own effect
TINY = 1e-12


@dataclass(frozen=True)
class SurrogatePart:
    """Features that change the rate of leaving, and the actions that move them.

    Attributes
    ----------
    actions : shape (n,), indexes
    weights : shape (width,)
        Of the log rate of leaving; 0 for the features of other parts, and of none.
    """

    actions: Ints
    weights: Floats

    def change(self, moved: Floats) -> Floats:
        """Return the change of the log rate of leaving by features that moved so much, shape (n,).

        Parameters
        ----------
        moved : shape (n, width)
        """
        found: Floats = np.clip(moved @ self.weights, -MAX_CHANGE, MAX_CHANGE)
        return found


def surrogate_parts(moved: Floats, centred: Floats, weights: Floats) -> list[SurrogatePart]:
    """Find out which actions move which features.

    Each action has an effect on the mean of each feature; those are kept that are clearly not 0.
    What one action alone moves makes a part of its own, so that its noise does not enter the
    effects of the others. Where nothing is found, nothing is claimed: the movement of a hundred
    features together is noise that may look like a large effect of an action that is shown seldom.

    Parameters
    ----------
    moved : shape (n, width)
        How each feature moved between the decision and the look, less what is expected whatever
        the action.
    centred : shape (n, n_actions)
        See `effect_blocks.centred_indicators`.
    weights : shape (width,)
        Of the features in the log rate of leaving.

    References
    ----------
    MacKinnon & White (1985), "Some heteroskedasticity-consistent covariance matrix estimators with
    improved finite sample properties": HC3, for actions that were shown seldom.
    """
    t = np.abs(_t_statistics(moved, centred))
    everybody = np.arange(centred.shape[1])
    if not t.size:
        return []
    least = least_statistic(FALSE_ALARM, t.size)
    strongest, second = t.max(axis=0), np.partition(t, -2, axis=0)[-2] if len(t) > 1 else 0.0
    found = strongest > least
    alone = found & (second < ALONE) & (1 < len(everybody) <= MOST_APART)
    several = found & ~alone
    parts = [SurrogatePart(everybody, weights * several)] if several.any() else []
    for action in np.unique(t.argmax(axis=0)[alone]):
        mine = alone & (t.argmax(axis=0) == action)
        parts.append(SurrogatePart(np.array([action]), weights * mine))
    return parts


def _t_statistics(moved: Floats, centred: Floats) -> Floats:
    """Compute those of the effect of each action on each feature, shape (n_actions, width)."""
    second = centred.T @ centred
    spread = np.linalg.pinv(second, hermitian=True)
    influence = centred @ spread
    effects = influence.T @ moved
    leverage = np.minimum((influence * centred).sum(axis=1), 1 - LEAST_FREE)
    rest = (moved - centred @ effects) / (1 - leverage)[:, None]
    deviations = np.sqrt(np.square(influence).T @ np.square(rest))
    return np.asarray(effects / np.maximum(deviations, TINY), dtype=np.float64)
