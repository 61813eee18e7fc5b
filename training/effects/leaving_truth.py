"""Holds the effect on leaving that the surrogate tells against who really left.

The surrogate is the rate of leaving that a customer's features predict some days after a decision.
Effects that do not show in the features by then are missing from it. Who really left shows them,
late and with much noise. So the truth never replaces the surrogate: it corrects the mean effect of
a family of actions, tells how long an effect lasts, and says when the surrogate cannot be trusted.

An effect on the rate of leaving fades: after s days there is exp(-s / duration) of it. Altogether
it is worth the rate on ``duration`` days, and by the day on which decisions are looked at,
``duration (1 - exp(-day / duration))`` of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from features.value_labels.labelled_decisions import LabelledDecisions
from training.arrays import Bools, Floats
from training.effects.effect_model import MAX_LOG_EFFECT, EffectModel
from training.effects.leaving_rates import leaving_rate, leaving_within
from training.effects.surrogate_audit import AuditSums, audit_note
from training.params import EffectParams

MATURE_DAYS = 21.0  # after a decision, much of its effect on leaving has come
FOLLOW_DAYS = 28.0  # the audit follows a decision for so long, and no longer
LEAST_VARIANCE = 1e-4  # of who leaves: else the customers who hardly leave would decide
TINY = 1e-12
DURATIONS = np.arange(3.0, 121.0)  # days
DISTRUSTED_SD = 0.5  # of the effect on the log rate, where only who really left tells it


class SolvedTruth(NamedTuple):
    """The results of `LeavingTruth`.

    Attributes
    ----------
    duration_days : float
    corrections, variances : shape (n_families,)
        Of the log rate of leaving by a showing, with the posterior variances.
    """

    duration_days: float
    corrections: Floats
    variances: Floats


class LeavingTruth:
    """Sums over matured decisions: leaving, against the surrogate's prediction of it.

    Parameters
    ----------
    model : EffectModel
        Its effect on leaving is by the surrogate alone.
    groups : mapping
        The group of each action.
    horizon_days : float
        Leaving is known for so long after a decision.
    """

    def __init__(
        self,
        model: EffectModel,
        groups: Mapping[str, str],
        params: EffectParams,
        horizon_days: float,
    ) -> None:
        self._model, self._params = model, params
        self._mature_days = min(MATURE_DAYS, horizon_days)
        self._follow_days = min(FOLLOW_DAYS, horizon_days)
        named = [groups.get(action, "") or action for action in model.actions]
        self.families = tuple(dict.fromkeys(named))
        self._of_family = np.array([[float(n == f) for f in self.families] for n in named])
        width = 1 + len(self.families)
        self._second, self._first = np.zeros((width, width)), np.zeros(width)
        self._audit = AuditSums(self.families)
        self._counted = 0

    def add(
        self, some: LabelledDecisions, vectors: Floats, centred: Floats, later_rate: Floats
    ) -> None:
        """Add some decisions; those of customers who had left before tell nothing.

        Parameters
        ----------
        vectors : shape (n, encoder.width)
            Of the model's encoder, at the decisions.
        centred : shape (n, n_actions)
        later_rate : shape (n,)
            The surrogate: the rate of leaving a day that the features tell at the look; not read
            where nobody has looked yet, or the customer had left.
        """
        stayed = ~(some.left_after_days < 0)  # nan: has not left
        some, vectors, centred = some.take(stayed), vectors[stayed], centred[stayed]
        rate, drawn = leaving_rate(vectors, self._model.level), centred @ self._of_family
        self._add_audit(some, rate, drawn, later_rate[stayed])
        mature = some.leaving_known_days >= self._mature_days
        if mature.any():
            self._add_mature(
                some.take(mature), vectors[mature], rate[mature], centred[mature], drawn[mature]
            )

    def _add_mature(
        self,
        some: LabelledDecisions,
        vectors: Floats,
        rate: Floats,
        centred: Floats,
        drawn: Floats,
    ) -> None:
        """Add decisions to the regression of leaving on the told and the drawn effects."""
        expected = leaving_within(rate, self._mature_days)
        left = some.is_left(self._mature_days)
        log_effect = (vectors @ self._model.basis) @ self._model.leaving.T
        factor = np.exp(np.clip(log_effect, -MAX_LOG_EFFECT, MAX_LOG_EFFECT))
        # The change of the rate by the action that was drawn, less the mean of those that might be.
        changed = (centred * (factor - 1.0)).sum(axis=1)
        rows = rate[:, None] * np.column_stack([changed, drawn])
        variance = np.maximum(expected * (1 - expected), LEAST_VARIANCE)
        weighted = rows / variance[:, None]
        self._second += weighted.T @ rows
        self._first += (left - expected) @ weighted
        self._counted += some.n_decisions

    def _add_audit(
        self, some: LabelledDecisions, rate: Floats, drawn: Floats, later_rate: Floats
    ) -> None:
        """Add the decisions to the audit that were followed beyond the look.

        A decision is followed as long as it is known, so a harm is found while it goes on. Leaving
        before the look is known to both, and tells nothing of the surrogate.
        """
        days = np.minimum(some.leaving_known_days, self._follow_days)
        since = days - some.looked_after_days
        known = since > 0  # nan is not
        left = some.left_after_days <= days
        told = np.where(some.gone_at_look, left, leaving_within(later_rate, np.maximum(since, 0.0)))
        expected = leaving_within(rate, days)
        truth, told = left - expected, told - expected
        self._audit.add(drawn[known], truth[known], told[known], left[known], some.customers[known])

    @property
    def note(self) -> Mapping[str, Any]:
        """Facts for people: matured decisions, duration, corrections, and the audit."""
        solved = self.solved()
        return {
            "matured": self._counted,
            "prior_days": self._params.duration_days,
            "duration_days": solved.duration_days,
            "corrections": dict(zip(self.families, solved.corrections.tolist(), strict=True)),
            "audit": audit_note(self._audit.rows()),
        }

    @property
    def distrusted(self) -> tuple[str, ...]:
        """The families for which the surrogate is certainly wrong."""
        return tuple(row.family for row in self._audit.rows() if row.disagrees)

    def corrected(self) -> EffectModel:
        """Return the model with the learned duration and means, and without what is wrong."""
        solved, wrong = self.solved(), self.distrusted
        is_wrong = self._of_family @ np.array([float(f in wrong) for f in self.families]) > 0
        leaving = np.where(is_wrong[:, None], 0.0, self._model.leaving)
        leaving[:, 0] += self._of_family @ solved.corrections
        covariance = np.where(is_wrong[:, None, None], 0.0, self._model.leaving_covariance)
        spread = self._of_family @ solved.variances * self._params.exploration_scale**2
        covariance[is_wrong, 0, 0] = spread[is_wrong]
        return replace(
            self._model,
            leaving=leaving,
            leaving_covariance=covariance,
            duration_days=solved.duration_days,
            distrusted=wrong,
        )

    def solved(self) -> SolvedTruth:
        """Solve for the duration, and for the correction of each family.

        The prior of the duration is that of the settings; that of a correction is 0. A family that
        is distrusted has no effect by surrogate: its correction is all of its effect.
        """
        params, days = self._params, _come(self._mature_days)[:, None]
        wrong = np.array([family in self.distrusted for family in self.families])
        spread = np.where(wrong, DISTRUSTED_SD, params.correction_sd)
        drawn, first = self._second[1:, 1:], self._first[1:] * spread
        of_told, told_square, told_first = self._told(wrong)
        # In the axes of the drawn effects, the posterior of each duration is a quotient.
        roots, axes = np.linalg.eigh(drawn * np.outer(spread, spread))
        precision = 1 + np.square(days) * np.maximum(roots, 0.0)
        residual = days * (first @ axes - days * ((of_told * spread) @ axes))
        fit = (np.square(residual) / precision - np.log(precision)).sum(axis=1) / 2
        fit += days[:, 0] * told_first - np.square(days[:, 0]) * told_square / 2
        fit -= np.square((DURATIONS - params.duration_days) / params.duration_sd) / 2
        chance = np.exp(fit - fit.max())
        chance /= chance.sum()
        return SolvedTruth(
            duration_days=float(chance @ DURATIONS),
            corrections=spread * (axes @ (chance @ (residual / precision))),
            variances=np.square(spread) * (np.square(axes) @ (chance @ (1 / precision))),
        )

    def _told(self, wrong: Bools) -> tuple[Floats, float, float]:
        """Sum the told effects with the drawn ones, with themselves and with leaving.

        The means of the families that are distrusted are taken out.
        """
        drawn, of_told = self._second[1:, 1:], self._second[1:, 0]
        scale = TINY * max(float(np.trace(drawn)), TINY)
        means = np.where(wrong, np.linalg.solve(drawn + scale * np.eye(len(drawn)), of_told), 0.0)
        square = self._second[0, 0] - 2 * means @ of_told + means @ drawn @ means
        return (
            of_told - drawn @ means,
            float(square),
            float(self._first[0] - means @ self._first[1:]),
        )


def _come(mature_days: float) -> Floats:
    """The part of each of `DURATIONS` that has come when decisions are mature, in days."""
    come: Floats = DURATIONS * -np.expm1(-mature_days / DURATIONS)
    return come
