"""Holds the effect on leaving that the surrogate tells against who really left.

The surrogate is the rate of leaving that a customer's features predict some days after a decision.
Effects that do not show in the features by then are missing from it. Who really left shows them,
late and with much noise. So the truth never replaces the surrogate: it corrects the mean effect of
a group of actions, tells how long an effect lasts, and says when the surrogate cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from features.value_labels.labelled_decisions import LabelledDecisions
from training.arrays import Floats
from training.effects.effect_model import MAX_LOG_EFFECT, EffectModel
from training.effects.leaving_rates import leaving_rate, leaving_within
from training.effects.surrogate_audit import AuditSums, audit_note
from training.params import EffectParams

MATURE_DAYS = 21.0  # after a decision, most of its effect on leaving has come
LEAST_VARIANCE = 1e-4  # of who leaves: else the customers who hardly leave would decide
MIN_DAYS, MAX_DAYS = 3.0, 120.0  # of the duration


class LeavingTruth:
    """Sums over matured decisions: leaving, against the surrogate's prediction of it.

    Parameters
    ----------
    model : EffectModel
        Its effect on leaving is by the surrogate alone.
    groups : mapping
        The group of each action.
    """

    def __init__(self, model: EffectModel, groups: Mapping[str, str], params: EffectParams) -> None:
        self._model, self._params = model, params
        named = [groups.get(action, "") or action for action in model.actions]
        self.families = tuple(dict.fromkeys(named))
        self._of_family = np.array([[float(n == f) for f in self.families] for n in named])
        width = 1 + len(self.families)
        self._second, self._first = np.zeros((width, width)), np.zeros(width)
        self._audit = AuditSums(self.families)
        self._counted = 0

    def add(self, some: LabelledDecisions, vectors: Floats, centred: Floats) -> None:
        """Add the matured ones among some decisions.

        Parameters
        ----------
        vectors : shape (n, encoder.width)
            Of the model's encoder, at the decisions.
        centred : shape (n, n_actions)
        """
        mature = some.age_days >= MATURE_DAYS
        if not mature.any():
            return
        some, vectors, centred = some.take(mature), vectors[mature], centred[mature]
        rate = leaving_rate(vectors, self._model.level)
        factor = np.exp(
            np.clip(
                (vectors @ self._model.basis) @ self._model.leaving.T,
                -MAX_LOG_EFFECT,
                MAX_LOG_EFFECT,
            )
        )
        # The change of the rate by the action that was drawn, less the mean of those that might be.
        changed = rate * (centred * (factor - 1.0)).sum(axis=1)
        shown = rate[:, None] * (centred @ self._of_family)
        expected = leaving_within(rate, MATURE_DAYS)
        residual = some.is_left(MATURE_DAYS) - expected
        variance = np.maximum(expected * (1 - expected), LEAST_VARIANCE)
        rows = np.column_stack([changed, shown * self._params.duration_days])
        weighted = rows / variance[:, None]
        self._second += weighted.T @ rows
        self._first += residual @ weighted
        self._counted += some.n_decisions
        self._audit.add(centred @ self._of_family, residual, changed, some)

    @property
    def note(self) -> Mapping[str, Any]:
        """Facts for people: matured decisions, duration, corrections, and the audit."""
        duration, corrections = self._solved()
        return {
            "matured": self._counted,
            "duration_days": duration,
            "corrections": dict(zip(self.families, corrections.tolist(), strict=True)),
            "audit": audit_note(self._audit.rows(duration)),
        }

    def corrected(self) -> EffectModel:
        """Return the model with the learned duration and means, and without what is wrong."""
        duration, corrections = self._solved()
        wrong = tuple(row.family for row in self._audit.rows(duration) if row.disagrees)
        believed = self._of_family @ np.array([float(f not in wrong) for f in self.families])
        leaving = self._model.leaving * believed[:, None]
        leaving[:, 0] += self._of_family @ corrections
        return replace(self._model, leaving=leaving, duration_days=duration, distrusted=wrong)

    def _solved(self) -> tuple[float, Floats]:
        """Solve for the duration, in days, and for the correction of each family.

        The prior of the duration is that of the settings; that of a correction is 0.
        """
        params = self._params
        spread = np.array([params.duration_sd, *[params.correction_sd] * len(self.families)])
        second = self._second * np.outer(spread, spread)
        prior = np.zeros(len(spread))
        prior[0] = params.duration_days
        first = (self._first - self._second @ prior) * spread
        moved = np.linalg.solve(second + np.eye(len(spread)), first) * spread
        duration = float(np.clip(params.duration_days + moved[0], MIN_DAYS, MAX_DAYS))
        return duration, moved[1:]
