"""The predicted effects of each action on a customer, against showing nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from training.arrays import Floats


class EffectPrediction(NamedTuple):
    """The predicted effects of each action of a catalogue on one customer, against `no_action`.

    Attributes
    ----------
    purchases, purchases_deviation : shape (n_actions,), in the domain's currency
        Margin that the action adds beyond its own credited acceptance, and its standard deviation.
    leaving, leaving_deviation : shape (n_actions,)
        What the action adds to the probability that the customer leaves, and its standard
        deviation.
    """

    purchases: Floats
    purchases_deviation: Floats
    leaving: Floats
    leaving_deviation: Floats


class PredictsEffects(Protocol):
    """A model that predicts effects, such as the published effect model.

    Attributes
    ----------
    actions
        The actions that it predicts, in the order of the catalogue.
    features
        The names of its features in the model input.
    distrusted
        The families of actions whose effect on leaving the features do not tell.
    counted
        The decisions from which they were learned.
    """

    @property
    def actions(self) -> tuple[str, ...]: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def distrusted(self) -> tuple[str, ...]: ...
    @property
    def counted(self) -> float: ...
    def predict_each(self, rows: Floats, channels: Sequence[str]) -> list[EffectPrediction]: ...
