"""The actions of the telephone company, their true effects, and the contact policy's caps.

A policy knows names, kinds, values and costs. The effects on acceptance, fatigue and satisfaction
are the truth of the world; a policy has to learn them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from training.arrays import Bools
from training.simulation.business import SimulatedAction, SimulatedCap

CHANNELS = ("app", "web", "call_centre", "email")
NEEDS = ("nothing", "data", "device", "fun", "family", "price", "help")
NOTHING, PRICE, HELP = 0, NEEDS.index("price"), NEEDS.index("help")


@dataclass(frozen=True, slots=True)
class TelephoneAction(SimulatedAction):
    """An action with its true effects.

    Attributes
    ----------
    need : int
        Index into `NEEDS` of the need that the action serves; -1: none of them.
    fatigue : float
        Fatigue that a showing adds to an average customer.
    base_logit : float
        Logit of acceptance by an average customer who does not need the action.
    need_logit : float
        Added to ``base_logit`` where the customer needs the action.
    """

    need: int = -1
    fatigue: float = 0.0
    base_logit: float = -inf
    need_logit: float = 0.0


def _promotion(
    name: str, need: str, value: float, cost: float, base_logit: float
) -> TelephoneAction:
    served = NEEDS.index(need)
    return TelephoneAction(name, "promotion", value, cost, CHANNELS, served, 1.0, base_logit, 2.9)


_NO_CALL, _NO_EMAIL = ("app", "web", "email"), ("app", "web", "call_centre")
ACTIONS = (
    TelephoneAction("no_action", "none", channels=CHANNELS),
    _promotion("more_data", "data", 36.0, 0.30, -4.3),
    _promotion("new_phone", "device", 80.0, 0.60, -5.0),
    _promotion("streaming", "fun", 28.0, 0.30, -3.9),
    _promotion("family_line", "family", 60.0, 0.50, -4.7),
    # Costs margin, and makes customers unhappy who did not think of the price.
    TelephoneAction("price_cut", "retention", -8.0, 0.30, CHANNELS, PRICE, 0.5, -1.4, 1.8),
    TelephoneAction("call_back", "service", 0.0, 2.50, _NO_EMAIL, -1, 0.5, 0.3, 1.0),
    TelephoneAction("how_to", "service", 0.0, 0.20, _NO_CALL, HELP, 0.4, -1.2, 1.6),
)
NAMES = tuple(action.name for action in ACTIONS)
K = len(ACTIONS)
PROMOTIONS = np.array([action.kind == "promotion" for action in ACTIONS])
PRICE_CUT, CALL_BACK, HOW_TO = (NAMES.index(one) for one in ("price_cut", "call_back", "how_to"))
ACTION_NEED = np.array([action.need for action in ACTIONS])
VALUE, COST, FATIGUE_PER_CONTACT, BASE_LOGIT, NEED_LOGIT = (
    np.array([getattr(action, name) for action in ACTIONS])
    for name in ("value_eur", "cost_eur", "fatigue", "base_logit", "need_logit")
)
CHANNEL_ALLOWED: Bools = np.array(
    [[channel in action.channels for action in ACTIONS] for channel in CHANNELS]
)


_CONTACTS = NAMES[1:]
CAPS = (
    SimulatedCap(3, 7, tuple(action.name for action in ACTIONS if action.kind == "promotion")),
    SimulatedCap(4, 7, _CONTACTS),
    SimulatedCap(1, 60, ("price_cut",)),
    SimulatedCap(1, 14, ("call_back",)),
    SimulatedCap(2, 14, ("how_to",)),
)
