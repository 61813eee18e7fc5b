"""The catalogue, policies and models used for a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from features.customers.account_contacts import AccountContacts
from features.customers.contacts import Contact
from features.journeys.model_input import ModelInput
from features.rewards.remaining_values import remaining_value
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.models.served_models import EFFECTS
from serving.policies.budgets import BudgetPacer
from serving.policies.contact_counts import ContactFacts
from serving.policies.contact_policy import ContactPolicy
from serving.policies.eligibility import NO_STOPS, EngagementPolicy
from serving.policies.stopped_actions import Stops
from training.arrays import Floats
from training.bandit.stacking import Prediction
from training.contributions import Contributions
from training.effects.effect_prediction import EffectPrediction


class Models(Protocol):
    """The methods of the models that a decision calls; `ServedModels` implements them."""

    @property
    def versions(self) -> Mapping[str, str | None]: ...
    @property
    def degraded(self) -> Sequence[str]: ...
    @property
    def catalog(self) -> str | None: ...
    def churn(self, row: Floats) -> float | None: ...
    def intent(self, row: Floats) -> dict[str, float] | None: ...
    @property
    def counted(self) -> Floats: ...
    @property
    def effects_counted(self) -> float: ...
    def predict(self, row: Floats, channel: str) -> Prediction: ...
    def predict_effects(self, row: Floats, channel: str) -> EffectPrediction | None: ...
    def looks(self, channel: str) -> Sequence[float]: ...
    def without_past(self, row: Floats, known: bool) -> Sequence[str]: ...
    def why_churn(self, row: Floats) -> Contributions | None: ...
    def why_intent(self, row: Floats) -> Contributions | None: ...
    def why_acceptance(
        self, row: Floats, channel: str, actions: Sequence[str]
    ) -> Contributions | None: ...
    def probabilities(self, expected_reward: Floats, deviation: Floats) -> Floats: ...


class DecisionSetup:
    """The catalogue, policies and models used for a decision.

    Replaced as one object, so a decision never sees half of a change.

    Attributes
    ----------
    stops : mapping
        By action, the guardrail that has switched it off.
    """

    def __init__(
        self,
        compiled: CompiledCatalog,
        models: Models,
        model_input: ModelInput,
        stops: Stops = NO_STOPS,
    ) -> None:
        self.compiled = compiled
        self.stops = stops
        self.models = models
        self.model_input = model_input
        self.engagement_policy = EngagementPolicy(compiled)
        self.contact_policy = ContactPolicy(compiled)
        self.pacer = BudgetPacer(compiled)
        at = {name: index for index, name in enumerate(model_input.names)}
        self._remaining_at = at.get((compiled.remaining and compiled.remaining.attribute) or "")
        self._problems_at = at.get("open_problems")
        self._account_at = at.get("account_open_problems")

    def local(self, row: Floats, now: datetime) -> datetime:
        """Convert a time to the time zone of the customer whose features are ``row``."""
        clock = self.compiled.catalog.clock
        named = self.compiled.context_reader.category(row, clock.attribute)
        return now.astimezone(clock.of_customer(named))

    @property
    def versions(self) -> dict[str, str | None]:
        """The versions that a decision logs: with that of the effect model, if effects count."""
        found = dict(self.models.versions)
        effects = found.pop(EFFECTS, None)
        return found if self.compiled.remaining is None else {**found, EFFECTS: effects}

    def remaining_value(
        self,
        row: Floats,
        attributes: Mapping[str, str | float] | None = None,
        left_at: datetime | None = None,
    ) -> float | None:
        """Read what the customer would take along by leaving; None: the objective is acceptance.

        Who has left cannot leave again, and takes nothing along.

        Parameters
        ----------
        attributes
            Those of the customer; None: they are read from the row, which lacks attributes that
            models do not read.
        """
        rule = self.compiled.remaining
        if rule is None:
            return None
        if left_at is not None:
            return 0.0
        if attributes is None:
            at = self._remaining_at
            attributes = {} if at is None else {rule.attribute or "": float(row[at])}
        return remaining_value(rule, attributes)

    def facts(
        self,
        customer_id: str,
        channel: str,
        now: datetime,
        row: Floats,
        consents: Mapping[str, bool],
        contacts: Sequence[Contact],
        account: AccountContacts | None,
        features_problem: str,
        left_at: datetime | None,
    ) -> ContactFacts:
        """Collect the facts that the contact policy needs."""
        mine, shared = self._problems_at, self._account_at
        return ContactFacts(
            customer_id=customer_id,
            channel=channel,
            now=now,
            local=self.local(row, now),
            contacts=contacts,
            consents=consents,
            problems=0.0 if mine is None else float(row[mine]),
            account_problems=0.0 if shared is None else float(row[shared]),
            features_problem=features_problem,
            account=account,
            left_at=left_at,
        )

    def with_models(self, models: Models) -> DecisionSetup:
        """Return a copy with other models.

        Models of another catalogue are ignored: that catalogue is being put in place at this
        moment, and its setup brings its own models.
        """
        mine = self.compiled.catalog.fingerprint
        if models is self.models or models.catalog not in (None, mine):
            return self
        return self._with(models=models)

    def with_stops(self, stops: Stops) -> DecisionSetup:
        """Return a copy in which guardrails have switched off other actions."""
        return self if stops == self.stops else self._with(stops=stops)

    def _with(self, **changed: Any) -> DecisionSetup:
        other = object.__new__(DecisionSetup)
        other.__dict__ = {**self.__dict__, **changed}
        return other
