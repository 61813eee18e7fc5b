"""Who is rehearsed beside ours: chance, one action for all, a marketer's rules, propensity, and the
oracle, who knows what nobody can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.simulation.acceptance_model import AcceptanceModel
from training.simulation.actions import NAMES, K
from training.simulation.customer_state import FEATURES
from training.simulation.rollout import DayFeedback
from training.simulation.world import World

COLUMN = {name: index for index, name in enumerate(FEATURES)}


@dataclass(frozen=True)
class RandomPolicy:
    """Any allowed action, each alike."""

    name: str = "random"

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        chances: Floats = allowed / allowed.sum(axis=1, keepdims=True)
        return chances

    def learn(self, reports: Sequence[DayFeedback]) -> None:
        """Learns nothing."""


@dataclass(frozen=True)
class FixedPolicy(RandomPolicy):
    """One action for everybody, whenever it is allowed; else none."""

    action: str = "no_action"

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        return _if_allowed(np.full(len(contexts), NAMES.index(self.action)), allowed)


@dataclass(frozen=True)
class Rule:
    """Where a feature is above a number: this action."""

    feature: str
    above: float
    action: str


@dataclass(frozen=True)
class RulesPolicy(RandomPolicy):
    """A marketer's list: the first rule that holds, and whose action is allowed, decides; else
    nothing is done."""

    rules: tuple[Rule, ...] = ()

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`."""
        actions, open_ = np.zeros(len(contexts), dtype=np.int64), np.ones(len(contexts), dtype=bool)
        for rule in self.rules:
            index = NAMES.index(rule.action)
            holds = open_ & allowed[:, index] & (contexts[:, COLUMN[rule.feature]] > rule.above)
            actions[holds], open_ = index, open_ & ~holds
        return _if_allowed(actions, allowed)


@dataclass(frozen=True)
class OraclePolicy(RandomPolicy):
    """Takes what is truly worth most now."""

    name: str = "oracle"
    world: World | None = None

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`; asks the world it was given."""
        assert self.world is not None
        return _best(self.world.expected(), allowed)


class PropensityPolicy:
    """Learns who accepts what; offers what is likeliest to be accepted, whatever it is worth."""

    name = "propensity"

    def __init__(self) -> None:
        self._model = AcceptanceModel(len(FEATURES))

    def predict(self, contexts: Floats, allowed: Bools) -> Floats:
        """See `rollout.Policy`: the likeliest action, and one in twenty at random."""
        offered = allowed.copy()
        offered[:, 0] = ~allowed[:, 1:].any(axis=1)
        likeliest = _best(self._model.acceptance(contexts), offered)
        chances: Floats = 0.95 * likeliest + 0.05 * offered / offered.sum(axis=1, keepdims=True)
        return chances

    def learn(self, reports: Sequence[DayFeedback]) -> None:
        """See `rollout.Policy`."""
        self._model.learn(reports)


_PAGES = {"data": "more_data", "device": "new_phone", "fun": "streaming", "family": "family_line"}
_SELL = tuple(Rule(f"page_{page}", 0, action) for page, action in _PAGES.items())
_INTEREST = tuple(Rule(f"topic_{page}", 0.8, action) for page, action in _PAGES.items())
_CARE = (Rule("problem_open", 0, "call_back"), Rule("page_help", 0, "how_to"))
_KEEP = (Rule("page_price", 0, "price_cut"),)
RULES = (
    # What they look at is what they are offered.
    RulesPolicy("rules: page", _CARE + _SELL),
    RulesPolicy("rules: page, price", _CARE + _KEEP + _SELL),
    # What they have looked at lately, too.
    RulesPolicy("rules: interest", _CARE + _SELL + _INTEREST),
    # Care first: calls, new buyers, open questions.
    RulesPolicy(
        "rules: care",
        _CARE
        + (Rule("calls", 0.9, "call_back"), Rule("onboarding", 0, "how_to"))
        + (Rule("support_open", 0, "how_to"),)
        + _SELL,
    ),
    # By segment: the young get streaming, families a line, the others data.
    RulesPolicy(
        "rules: segment",
        _CARE
        + (Rule("young", 0, "streaming"), Rule("home_size", 0.5, "family_line"))
        + (Rule("old", 0, "how_to"), Rule("plan_small", 0, "more_data")),
    ),
    # By stage: only who has come far in a purchase is offered something.
    RulesPolicy(
        "rules: stage",
        _CARE + tuple(Rule(f"topic_{page}", 1.6, action) for page, action in _PAGES.items()),
    ),
)


def _best(score: Floats, allowed: Bools) -> Floats:
    chosen: Floats = np.eye(K)[np.where(allowed, score, -np.inf).argmax(axis=1)]
    return chosen


def _if_allowed(actions: Ints, allowed: Bools) -> Floats:
    free = allowed[np.arange(len(actions)), actions]
    chosen: Floats = np.eye(K)[np.where(free, actions, 0)]
    return chosen
