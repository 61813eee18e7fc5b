"""How we try actions whose worth we do not know yet: exact probabilities, and a draw by them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from features.errors import InvalidSetting, NothingAllowed
from training.bandit import Floats

GREEDIEST = 1e9


@dataclass(frozen=True, slots=True)
class InverseGapPolicy:
    """Try an action less often the further it trails the best one.

    With K allowed actions, expected rewards r and best action b::

        p(a) = 1 / (K + greed * (r[b] - r[a]))     for a != b
        p(b) = 1 - (sum of the others)

    Preferred to Thompson sampling because these probabilities are exact, and the probability in
    the ledger is the one that off-policy evaluation divides by.

    Parameters
    ----------
    greed : float, >= 0, in 1/currency
        0 tries all allowed actions alike; 10 gives an action that trails by 1 among two allowed
        a chance of 1/12.

    References
    ----------
    Foster & Rakhlin (2020), "Beyond UCB: Optimal and Efficient Contextual Bandits with
    Regression Oracles", Algorithm 1 (SquareCB); weighting after Abe & Long (1999).
    """

    greed: float

    def __post_init__(self) -> None:
        if not 0 <= self.greed <= GREEDIEST:  # written so that nan fails too
            raise InvalidSetting(
                f"greed is {self.greed!r}.",
                expected=f"a number from 0 to {GREEDIEST:g}, in 1/currency",
                remedy="Set bandit.greed in training/params.yaml; 20 is a calm start.",
            )

    def probabilities(self, expected_reward: Floats) -> Floats:
        """Chance of each allowed action.

        Parameters
        ----------
        expected_reward : shape (n_actions,), in the domain's currency
            ``nan`` marks an action that is not allowed.

        Returns
        -------
        shape (n_actions,)
            Sums to 1; what is not allowed has exactly 0, what is allowed more than 0.

        Raises
        ------
        NothingAllowed
            If all are ``nan``; the engine always allows `no_action`.
        """
        allowed = ~np.isnan(expected_reward)
        if not allowed.any():
            raise NothingAllowed(
                "The policy was given no allowed action.",
                expected="at least one finite expected reward",
                remedy="Allow 'no_action'.",
            )
        best = int(np.where(allowed, expected_reward, -np.inf).argmax())
        gap = expected_reward[best] - expected_reward
        chance = np.where(allowed, 1.0 / (allowed.sum() + self.greed * gap), 0.0)
        chance[best] = 0.0
        chance[best] = 1.0 - chance.sum()
        return chance


def draw(probabilities: Floats, decision_id: str) -> int:
    """The index that ``decision_id`` picks: the same id, the same action, for ever.

    The hash of the id serves as the uniform random number, so a decision can be repeated from
    its record, and a retried request cannot draw twice.
    """
    digest = hashlib.sha256(decision_id.encode()).digest()
    uniform = int.from_bytes(digest[:7], "big") / 2**56
    index = int(np.searchsorted(np.cumsum(probabilities), uniform, side="right"))
    # The sum may end a rounding error below 1; then the last allowed action is meant.
    return min(index, int(np.flatnonzero(probabilities)[-1]))
