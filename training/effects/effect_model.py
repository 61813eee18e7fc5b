"""The effect model: what showing an action adds, against showing none, for a customer.

It is published as a whole by the learner, and a server holds one. `effect_fit` makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from training import arrays
from training.arrays import Floats, Indices
from training.bandit.encoder import Encoder
from training.effects.effect_prediction import EffectPrediction
from training.effects.leaving_rates import leaving_rate, leaving_within

MAX_LOG_EFFECT = 1.0  # of an action on the rate of leaving: it is at most 2.7 times as high
_ARRAYS = (
    *("basis", "level", "purchases", "purchases_covariance", "leaving", "leaving_covariance"),
)


@dataclass(frozen=True)
class EffectModel:
    """Effects of the actions on the margin and on leaving, with their uncertainty.

    The vector of a customer is ``encoder.encode(row, channel) @ basis``. An action adds
    ``purchases[a] . vector`` to the margin beyond its own credited acceptance. It changes the log
    of the rate of leaving by ``leaving[a] . vector``, so that who would hardly leave can hardly be
    driven away.

    Attributes
    ----------
    actions : tuple of str
        Without `no_action`, whose effects are 0.
    encoder : Encoder
        Standardises the features, and marks the channel.
    basis : shape (encoder.width, width)
    level : shape (encoder.width,)
        Weights of the log rate of leaving a day, if no action were shown.
    purchases, leaving : shape (n_actions, width)
    purchases_covariance, leaving_covariance : shape (n_actions, width, width)
    duration_days : float
        How long an action changes the rate of leaving, as learned; see `leaving_truth`.
    distrusted : tuple of str
        Families of actions for which the audit found that the surrogate is wrong. Its effect on
        leaving is told as 0 there; what is left is the correction by who really left.
    note : mapping
        Facts for people, for JSON: numbers of decisions, the audit.
    """

    actions: tuple[str, ...]
    encoder: Encoder
    basis: Floats
    level: Floats
    purchases: Floats
    purchases_covariance: Floats
    leaving: Floats
    leaving_covariance: Floats
    duration_days: float
    distrusted: tuple[str, ...] = ()
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it reads, in the model input."""
        return self.encoder.features

    @property
    def counted(self) -> float:
        """The decisions from which it was learned: of the labels that were known of most."""
        return float(max(self.note.get("looked", 0.0), self.note.get("decisions", 0.0)))

    def expected_leaving(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Predict the probability to leave within `duration_days` without an action, shape (n,)."""
        vectors = self.encoder.encode(rows, channels)
        return leaving_within(leaving_rate(vectors, self.level), self.duration_days)

    def predict_each(self, rows: Floats, channels: Sequence[str]) -> list[EffectPrediction]:
        """Predict for n customers, for each to the bit as for this one alone.

        Parameters
        ----------
        rows : shape (n, n_features)
        channels : n texts
        """
        return [
            self._predict(rows[number : number + 1], (channel,))
            for number, channel in enumerate(channels)
        ]

    def _predict(self, row: Floats, channels: Sequence[str]) -> EffectPrediction:
        encoded = self.encoder.encode(row, channels)
        vector = (encoded @ self.basis)[0]
        rate = leaving_rate(encoded, self.level)
        probability = float(leaving_within(rate, self.duration_days)[0])
        factor = np.exp(np.clip(self.leaving @ vector, -MAX_LOG_EFFECT, MAX_LOG_EFFECT))
        return EffectPrediction(
            purchases=self.purchases @ vector,
            purchases_deviation=_deviation(self.purchases_covariance, vector),
            leaving=probability * (factor - 1.0),
            leaving_deviation=probability * factor * _deviation(self.leaving_covariance, vector),
        )

    def for_actions(self, actions: Sequence[str]) -> EffectModel:
        """Return the model for the actions of another catalogue.

        An action that it does not know has the effects 0 and deviation 0: a prediction is then that
        of the acceptance alone.
        """
        if tuple(actions) == self.actions:
            return self
        place = {action: index for index, action in enumerate(self.actions)}
        taken: Indices = np.array([place.get(action, -1) for action in actions], dtype=np.intp)
        names = ("purchases", "purchases_covariance", "leaving", "leaving_covariance")
        changed: dict[str, Any] = {
            name: arrays.by_index(taken, getattr(self, name), 0.0) for name in names
        }
        return replace(self, actions=tuple(actions), **changed)

    def to_bytes(self) -> bytes:
        """Serialise the model without pickles; inverse of `from_bytes`."""
        numbers = {name: getattr(self, name) for name in _ARRAYS}
        for name in ("purchases_covariance", "leaving_covariance"):
            # Variances need not be known to 16 digits, and one triangle is enough.
            numbers[name] = arrays.upper_triangles(numbers[name]).astype(np.float32)
        note = {
            "actions": self.actions,
            "duration_days": self.duration_days,
            "distrusted": self.distrusted,
            "note": dict(self.note),
        }
        coded = {f"encoder_{name}": array for name, array in self.encoder.arrays.items()}
        return arrays.pack(self.encoder.note | note, **numbers, **coded)

    @classmethod
    def from_bytes(cls, payload: bytes) -> EffectModel:
        """Read what `to_bytes` wrote."""
        note, numbers = arrays.unpack(payload)
        coded = {
            name.removeprefix("encoder_"): array
            for name, array in numbers.items()
            if name.startswith("encoder_")
        }
        parts: dict[str, Any] = {name: numbers[name].astype(np.float64) for name in _ARRAYS}
        for name in ("purchases_covariance", "leaving_covariance"):
            parts[name] = arrays.from_upper_triangles(parts[name])
        return cls(
            actions=tuple(note["actions"]),
            encoder=Encoder.of(note, coded),
            duration_days=note["duration_days"],
            distrusted=tuple(note["distrusted"]),
            note=note["note"],
            **parts,
        )

    @cached_property
    def width(self) -> int:
        """Length of a customer's vector."""
        return int(self.basis.shape[1])


def _deviation(covariance: Floats, vector: Floats) -> Floats:
    variance = (covariance @ vector) @ vector
    deviation: Floats = np.sqrt(np.maximum(variance, 0.0))
    return deviation
