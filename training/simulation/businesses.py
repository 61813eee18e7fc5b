"""The simulated businesses by name."""

from __future__ import annotations

from training.simulation.business import SimulatedBusiness
from training.simulation.telephone import actions as telephone
from training.simulation.telephone.customers import PREFIX
from training.simulation.telephone.observed_features import FEATURES
from training.simulation.telephone.rule_lists import RULES
from training.simulation.telephone.world import TelephoneWorld

TELEPHONE = SimulatedBusiness(
    "telephone",
    "world",
    PREFIX,
    telephone.CHANNELS,
    FEATURES,
    telephone.ACTIONS,
    telephone.CAPS,
    RULES,
    TelephoneWorld,
)
BUSINESSES = {business.name: business for business in (TELEPHONE,)}
