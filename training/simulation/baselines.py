"""Policies to compare with: random, a fixed action, lists of rules, propensity, and the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.simulation.acceptance_model import AcceptanceModel
from training.simulation.actions import NAMES, K
from training.simulation.observed_features import FEATURES
from training.simulation.rollout import DayFeedback
from training.simulation.world import World

COLUMN = {name: index for index, name in enumerate(FEATURES)}


@dataclass(frozen=True)
class RandomPolicy:
    """Chooses uniformly among the allowed actions."""

    name: str = "random"

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        probabilities: Floats = allowed / allowed.sum(axis=1, keepdims=True)
        return probabilities

    def learn(self, feedback: Sequence[DayFeedback]) -> None:
        """Ignore the feedback."""


@dataclass(frozen=True)
class FixedPolicy(RandomPolicy):
    """Chooses one action whenever it is allowed, else `no_action`."""

    action: str = "no_action"

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        return _if_allowed(np.full(len(contexts), NAMES.index(self.action)), allowed)


@dataclass(frozen=True)
class Rule:
    """Names an action for customers with a feature above a threshold."""

    feature: str
    threshold: float
    action: str


@dataclass(frozen=True)
class RulesPolicy(RandomPolicy):
    """Chooses by the first rule that holds and whose action is allowed, else `no_action`."""

    rules: tuple[Rule, ...] = ()

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        actions = np.zeros(len(contexts), dtype=np.int64)
        undecided = np.ones(len(contexts), dtype=bool)
        for rule in self.rules:
            index = NAMES.index(rule.action)
            holds = (
                undecided & allowed[:, index] & (contexts[:, COLUMN[rule.feature]] > rule.threshold)
            )
            actions[holds], undecided = index, undecided & ~holds
        return _if_allowed(actions, allowed)


@dataclass(frozen=True)
class OraclePolicy(RandomPolicy):
    """Chooses the allowed action with the highest true expected value."""

    name: str = "oracle"
    world: World | None = None

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`; reads the truth of its world."""
        assert self.world is not None
        return _greedy(self.world.expected(), allowed)


class PropensityPolicy:
    """Chooses the action with the highest learned acceptance, without regard to its value."""

    name = "propensity"

    def __init__(self) -> None:
        self._model = AcceptanceModel(len(FEATURES))

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`: epsilon-greedy with epsilon 0.05."""
        offered = allowed.copy()
        offered[:, 0] = ~allowed[:, 1:].any(axis=1)
        greedy = _greedy(self._model.acceptance(contexts), offered)
        probabilities: Floats = 0.95 * greedy + 0.05 * offered / offered.sum(axis=1, keepdims=True)
        return probabilities

    def learn(self, feedback: Sequence[DayFeedback]) -> None:
        """See `rollout.Policy`."""
        self._model.learn(feedback)


_PAGES = {"data": "more_data", "device": "new_phone", "fun": "streaming", "family": "family_line"}
_SALES = tuple(Rule(f"page_{page}", 0, action) for page, action in _PAGES.items())
_INTEREST = tuple(Rule(f"topic_{page}", 0.8, action) for page, action in _PAGES.items())
_SERVICE = (Rule("problem_open", 0, "call_back"), Rule("page_help", 0, "how_to"))
_RETENTION = (Rule("page_price", 0, "price_cut"),)
RULES = (
    # Offer the product of the viewed page.
    RulesPolicy("rules: page", _SERVICE + _SALES),
    RulesPolicy("rules: page, price", _SERVICE + _RETENTION + _SALES),
    # Also the product of the pages viewed lately.
    RulesPolicy("rules: interest", _SERVICE + _SALES + _INTEREST),
    # Service first: calls, new buyers, open questions.
    RulesPolicy(
        "rules: care",
        _SERVICE
        + (Rule("calls", 0.9, "call_back"), Rule("onboarding", 0, "how_to"))
        + (Rule("support_open", 0, "how_to"),)
        + _SALES,
    ),
    # By segment: young customers get streaming, families a line, others data.
    RulesPolicy(
        "rules: segment",
        _SERVICE
        + (Rule("young", 0, "streaming"), Rule("home_size", 0.5, "family_line"))
        + (Rule("old", 0, "how_to"), Rule("plan_small", 0, "more_data")),
    ),
    # By stage: offer a product only to customers who have viewed its page often.
    RulesPolicy(
        "rules: stage",
        _SERVICE + tuple(Rule(f"topic_{page}", 1.6, action) for page, action in _PAGES.items()),
    ),
)


def _greedy(score: Floats, allowed: Bools) -> Floats:
    chosen: Floats = np.eye(K)[np.where(allowed, score, -np.inf).argmax(axis=1)]
    return chosen


def _if_allowed(actions: Ints, allowed: Bools) -> Floats:
    possible = allowed[np.arange(len(actions)), actions]
    chosen: Floats = np.eye(K)[np.where(possible, actions, 0)]
    return chosen
