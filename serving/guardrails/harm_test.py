"""An anytime-valid test of whether an action is followed by more harm than a limit allows.

Given that there was harm after a decision, and given the chances with which its action was drawn,
it is a coin toss whether the action in question had been drawn. Say that e is its logged chance
among the draws that are compared, and that its harm is R times that of the others. By Bayes' rule
the coin has the odds R o, with o = e / (1 - e). The null hypothesis is that R is at most the limit
r. Each toss multiplies the likelihood ratio of R = m r against R = r by

    m^a (1 + r o) / (1 + m r o),    a = 1 if the action had been drawn, else 0.

Its expectation is 1 at the limit, and at most 1 below it, as it rises with a and a is less often 1
there. So is that of the mean over several m, the *e-value*. The e-value of harmless actions is a
test supermartingale that begins at 1. It ever exceeds 1 / level with probability level at most,
however often one looks, and however few there are (Ville 1939; Ramdas, Grünwald, Vovk and Shafer
2023, "Game-theoretic statistics and safe anytime-valid inference"; Turner, Ly and Grünwald 2024,
for two groups).

Nothing is assumed about how often there is harm, which may differ between customers and over time,
and nothing about how well the models know it: the action was drawn by chances that are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np

from training.arrays import Bools, Floats

RATIOS = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)  # m: of the harm to the limit
LARGEST = 1e300  # e-values above are told as this one


def log_ratios(chance: Floats, followed: Bools, limit: float) -> Floats:
    """The logarithms of what each toss multiplies the likelihood ratios by.

    Parameters
    ----------
    chance : shape (n,)
        Between 0 and 1, both excluded: a draw that was certain tells nothing.
    followed : shape (n,)
        Whether the action had been drawn.
    limit
        The largest rate ratio that is allowed.

    Returns
    -------
    shape (len(RATIOS), n)
    """
    odds = limit * chance / (1.0 - chance)
    ratios = np.array(RATIOS)[:, None]
    grown: Floats = followed * np.log(ratios) + np.log1p(odds) - np.log1p(ratios * odds)
    return grown


def log_e_values(logs: Floats) -> Floats:
    """The logarithm of the mean of likelihood ratios, given their logarithms along axis 0."""
    largest = logs.max(axis=0)
    found: Floats = largest + np.log(np.exp(logs - largest).mean(axis=0))
    return found


@dataclass(frozen=True, slots=True)
class HarmTest:
    """The sums of a test.

    Attributes
    ----------
    logs : sequence of float
        For each of `RATIOS`, the logarithm of the likelihood ratio.
    harmed, after : int
        Harm that was counted, and that for which the action had been drawn.
    expected : float
        The expectation of ``after`` at the limit.
    with_action, without : float
        The sums of a (1 - e) and of (1 - a) e. Their quotient estimates the rate ratio, as that of
        Mantel and Haenszel (1959) does.
    peak : float
        The largest logarithm of the e-value at any look.
    """

    logs: Sequence[float] = (0.0,) * len(RATIOS)
    harmed: int = 0
    after: int = 0
    expected: float = 0.0
    with_action: float = 0.0
    without: float = 0.0
    peak: float = 0.0

    def add(self, chance: Floats, followed: Bools, limit: float) -> HarmTest:
        """Count some harm and look once; see `log_ratios`."""
        odds = limit * chance / (1.0 - chance)
        logs = np.array(self.logs) + log_ratios(chance, followed, limit).sum(axis=1)
        return HarmTest(
            logs=tuple(logs.tolist()),
            harmed=self.harmed + len(chance),
            after=self.after + int(followed.sum()),
            expected=self.expected + float((odds / (1.0 + odds)).sum()),
            with_action=self.with_action + float((followed * (1.0 - chance)).sum()),
            without=self.without + float((~followed * chance).sum()),
            peak=max(self.peak, float(log_e_values(logs))),
        )

    @property
    def e_value(self) -> float:
        """The evidence that the limit is exceeded; 1: none."""
        return min(exp(min(float(log_e_values(np.array(self.logs))), 700.0)), LARGEST)

    @property
    def rate_ratio(self) -> float | None:
        """The estimated rate ratio; None if it cannot be told yet."""
        return self.with_action / self.without if self.without > 0 else None

    def exceeds(self, threshold: float) -> bool:
        """Return whether the e-value has reached a threshold at any look."""
        return self.peak >= log(threshold)

    def to_json(self) -> dict[str, Any]:
        """Write the sums; inverse of `from_json`."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> HarmTest:
        """Read what `to_json` wrote."""
        return cls(**{**kept, "logs": tuple(kept["logs"])})
