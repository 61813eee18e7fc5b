"""Explains predictions to people: the features with the strongest contributions, in words.

Contributions come from the model itself (`Contributions`), the words of a feature from the fold
(`FeatureDescription`). Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from features.errors import NothingAllowed
from features.journeys.descriptions import (
    CATEGORY,
    DAYS,
    SHARE,
    FeatureDescription,
    format_amount,
    humanize,
)
from features.journeys.model_input import ModelInput
from serving.contract.decisions import Contribution, Explanation, Scale
from training.arrays import Floats
from training.bandit.encoder import CHANNEL
from training.contributions import Contributions

STRONGEST = 5
# Smaller effects are not told: odds that change by less than a twentieth, half a percentage point.
LEAST_LOG_ODDS, LEAST_ACCEPTANCE = 0.05, 0.005


class _Question(NamedTuple):
    """A prediction to explain, the least effect that is told, and the wording of an effect."""

    of: str
    scale: Scale
    least: float
    said: Callable[[float], str]


def explain_churn(
    found: Contributions, model_input: ModelInput, row: Floats, most: int = STRONGEST
) -> Explanation:
    """Explain how likely this customer is to leave.

    Parameters
    ----------
    found
        `Classifier.contributions` of the churn model to ``row``.
    row : shape (len(model_input.names),)
        The features at the time of the decision.
    most : int
        How many features to tell at most.
    """
    question = _Question("churn", "log odds before calibration", LEAST_LOG_ODDS, _likelier("churn"))
    return _explain(question, found, _Known(model_input, row), most)


def explain_left(model_input: ModelInput, left_at: datetime, now: datetime) -> Explanation:
    """Explain the churn of a customer who has left: it is 1 because of an event, not of a model.

    Parameters
    ----------
    left_at, now
        When the customer left, and the time of the decision.
    """
    fact = Contribution(
        feature=f"{model_input.leaving.event}_silence_days",
        value=max((now - left_at) / timedelta(days=1), 0.0),
        unit=DAYS,
        effect=1.0,
        text=f"the customer left on {left_at:%Y-%m-%d}",
    )
    return Explanation(of="churn", scale="probability", baseline=0.0, strongest=(fact,), others=0.0)


def explain_intent(
    found: Contributions,
    chances: Mapping[str, float],
    model_input: ModelInput,
    row: Floats,
    most: int = STRONGEST,
) -> dict[str, Explanation]:
    """Explain each intent, the likeliest first.

    Parameters
    ----------
    found
        `Classifier.contributions` of the intent model to ``row``.
    chances
        The calibrated chance of each intent. An effect is measured against the average of all
        intents, weighted by their chances, so that its sign is that of the change of the chance.
    row, most
        See `explain_churn`.
    """
    against = found.against_average(np.array([chances[intent] for intent in found.of]))
    scale: Scale = "log odds against the average intent, before calibration"
    known = _Known(model_input, row)
    explained = {}
    for intent in sorted(found.of, key=lambda intent: -chances[intent]):
        said = _likelier(f"the intent '{humanize(intent)}'")
        question = _Question(intent, scale, LEAST_LOG_ODDS, said)
        explained[intent] = _explain(question, against, known, most)
    return explained


def explain_acceptance(
    found: Contributions,
    channel: str,
    model_input: ModelInput,
    row: Floats,
    most: int = STRONGEST,
) -> dict[str, Explanation]:
    """Explain the acceptance of each action, in percentage points.

    Parameters
    ----------
    found
        `RewardModel.contributions` on ``channel``, of the actions to explain.
    row, most
        See `explain_churn`.
    """
    scale: Scale = "acceptance before it is kept between 0 and 1"
    known = _Known(model_input, row, channel)
    return {
        action: _explain(
            _Question(action, scale, LEAST_ACCEPTANCE, _raises_acceptance), found, known, most
        )
        for action in found.of
    }


def exploration_share(probabilities: Floats, priorities: Floats) -> float:
    """Compute the chance that a decision takes another action than the best one.

    Parameters
    ----------
    probabilities, priorities : shape (n_candidates,)
        Priority ``nan``: not allowed. Actions that are best together count as one.

    Raises
    ------
    NothingAllowed
        If all are ``nan``.
    """
    if np.isnan(priorities).all():
        raise NothingAllowed(
            "There is no allowed candidate whose exploration could be told.",
            expected="at least one finite priority",
            remedy="Keep 'no_action' among the candidates.",
        )
    best = priorities == np.nanmax(priorities)
    return float(np.clip(1.0 - probabilities[best].sum(), 0.0, 1.0))


def exploration_text(share: float) -> str:
    """Say an exploration share in words."""
    if share < 1e-9:  # what is left of a sum that should be 1
        return "Nothing is tried out: such decisions always take the best action."
    often = format_amount(share, SHARE)
    return f"To learn, {often} of such decisions take another action than the best."


class _Known:
    """The features of a decision and, for the acceptance, its channel."""

    def __init__(self, model_input: ModelInput, row: Floats, channel: str = "") -> None:
        self._words = model_input.descriptions
        self._numbers = dict(zip(model_input.names, row.tolist(), strict=True))
        self._channel = channel

    def fact(self, feature: str) -> tuple[FeatureDescription, float]:
        """Return the description of a feature, and its value."""
        if feature.startswith(CHANNEL):
            channel = feature.removeprefix(CHANNEL)
            return _words_of_channel(channel), float(channel == self._channel)
        return self._words[feature], self._numbers[feature]


def _explain(question: _Question, found: Contributions, known: _Known, most: int) -> Explanation:
    index = found.of.index(question.of)
    effects = found.effects[index]
    order = np.argsort(-np.abs(effects), kind="stable")[:most]
    told = [number for number in order.tolist() if abs(effects[number]) >= question.least]
    strongest = tuple(
        _contribution(found.features[number], float(effects[number]), question, known)
        for number in told
    )
    return Explanation(
        of=question.of,
        scale=question.scale,
        baseline=float(found.baseline[index]),
        strongest=strongest,
        others=float(effects.sum() - effects[told].sum()),
    )


def _contribution(feature: str, effect: float, question: _Question, known: _Known) -> Contribution:
    words, number = known.fact(feature)
    return Contribution(
        feature=feature,
        value=words.value(number),
        unit=words.unit,
        effect=effect,
        text=f"{words.text(number)}: {question.said(effect)}",
    )


def _likelier(what: str) -> Callable[[float], str]:
    return lambda effect: f"makes {what} {'more' if effect > 0 else 'less'} likely"


def _raises_acceptance(effect: float) -> str:
    points = format_amount(100 * abs(effect), "percentage points")
    return f"{'raises' if effect > 0 else 'lowers'} the acceptance by {points}"


def _words_of_channel(channel: str) -> FeatureDescription:
    label = humanize(channel)
    return FeatureDescription(
        f"whether the decision is for the channel {label}",
        CATEGORY,
        "the decision is for {amount}",
        values=(f"another channel than {label}", f"the channel {label}"),
    )
