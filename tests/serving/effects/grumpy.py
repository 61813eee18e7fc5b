"""A little business: who is shown no discount orders something, and some people leave."""

from __future__ import annotations

from datetime import timedelta

from features.business.catalog import NO_ACTION, Catalog
from features.business.domain import Domain
from features.ledger.ledger import Ledger
from features.rewards.reward_steps import RewardRules
from serving.effects.effect_learner import EffectLearner
from tests.conftest import NOW
from tests.features.rewards.test_reward_steps import with_spend
from tests.features.value_labels.conftest import Followed
from tests.summed import sum_all
from training.params import EffectParams

DAY = timedelta(days=1)
CUSTOMERS, HORIZON_DAYS = 80, 3
MARGIN = 1.25  # of an order: half of what is spent
CHANCES = {"discount": 0.5, NO_ACTION: 0.5}
FEW = EffectParams(at_least=60, least_left=3, sample=100, purchases_prior=0.001)


class Grumpy:
    """Decisions about customers on one day, and what happened after them."""

    def __init__(self, ledger: Ledger, domain: Domain, catalog: Catalog) -> None:
        objective = {"margin": 0.5, "horizon_days": HORIZON_DAYS}
        leaving = {"event": "visit", "when": "happens", "back": "order"}
        self.domain = with_spend(domain, churn=leaving, objective=objective)
        # Scale 1: each action that may be the best is a candidate, and an explanation tells it.
        self.catalog = catalog.with_parts(objective="added_value", exploration_scale=1.0)
        self.ledger = ledger
        self._followed = Followed(ledger, self.domain, self.catalog)
        for number in range(CUSTOMERS):
            self._live_through(number)
        sum_all(ledger, RewardRules.of(self.catalog, self.domain))

    def _live_through(self, number: int) -> None:
        name, is_shown = f"c{number}", number % 2 == 0
        age = {"age_years": str(20 + number % 30)}
        row = self._followed.model_input.read(age, None, NOW.timestamp())
        shown = ["discount"] if is_shown else []
        self._followed.decide(f"d{number}", CHANCES, *shown, row=row, customer_id=name)
        if not is_shown:
            self._followed.happen(f"e{number}", NOW + DAY, customer=name)
        elif number % 10 == 0:
            self._followed.happen(f"e{number}", NOW + DAY, "visit", name)

    def learner(self) -> EffectLearner:
        """A learner that reads customers from the ledger, as a server does."""
        return EffectLearner(self.ledger, self.domain, self.catalog, FEW)
