"""The guardrails of a catalogue, prepared for counting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from features.business.catalog import Catalog
from features.business.catalog_rules import LEAVING, Arms, Guardrail
from features.business.domain import Domain, score_of
from features.journeys.events import is_finite_number

OF_ACTIONS, OF_ARM = " actions ", " arm "  # of a key, between name and fingerprint


class GuardrailRule(NamedTuple):
    """One guardrail.

    Attributes
    ----------
    event : str
        The type of event that it counts, or after which a silence counts.
    score : str
        The property that is compared with ``at_most``; empty: each event is harm.
    silent : timedelta
        The length of a silence that is harm; 0: the event is.
    of_actions, of_arm : str
        The name with the fingerprint of what the tests of actions, or that of the policy's arm,
        depend on. Each has tests of its own, under this key.
    policy_share : float
        The share of the policy's arm among the customers of the two arms that are compared.
    """

    name: str
    guardrail: Guardrail
    event: str
    score: str
    silent: timedelta
    of_actions: str
    of_arm: str
    policy_share: float

    @property
    def within(self) -> timedelta:
        """The time after a decision in which harm belongs to it."""
        return timedelta(days=self.guardrail.within_days)

    @property
    def arms(self) -> tuple[str, str]:
        """The two arms that are compared."""
        return "policy", self.guardrail.against

    def is_harm(self, event_type: str, properties: Mapping[str, Any]) -> bool:
        """Return whether an event is harm by itself."""
        if self.silent or event_type != self.event:
            return False
        if not self.score or self.guardrail.at_most is None:
            return True
        given: Any = properties.get(self.score)
        return is_finite_number(given) and float(given) <= self.guardrail.at_most


class GuardrailRules(NamedTuple):
    """All guardrails of a catalogue.

    Attributes
    ----------
    actions : sequence of str
        Of the catalogue, which has no `no_action`; as many tests are made of each guardrail.
    arms : Arms
        The shares and the salt of the arms.
    session : timedelta
        A decision may come so much later than the event by which a visit began.
    """

    rules: tuple[GuardrailRule, ...]
    actions: tuple[str, ...]
    arms: Arms
    session: timedelta

    @classmethod
    def of(cls, catalog: Catalog, domain: Domain) -> GuardrailRules:
        """Read the guardrails of a catalogue for a domain."""
        return cls(
            rules=tuple(
                _rule(name, one, catalog.arms, domain) for name, one in catalog.guardrails.items()
            ),
            actions=tuple(catalog.actions),
            arms=catalog.arms,
            session=timedelta(minutes=domain.session_minutes),
        )

    def stops_at(self, rule: GuardrailRule) -> float:
        """The e-value at which an action is switched off.

        There is a test for each of K actions. Each stops at K / level. So the probability that a
        guardrail ever stops a harmless action is at most K x level / K = level (Bonferroni).
        """
        return len(self.actions) / rule.guardrail.level


def _rule(name: str, guardrail: Guardrail, arms: Arms, domain: Domain) -> GuardrailRule:
    event, silent = guardrail.counts, timedelta()
    if guardrail.counts == LEAVING and domain.churn is not None:
        event = domain.churn.event
        if domain.churn.when == "silent":
            silent = timedelta(days=domain.churn.silent_days or 0)
    score = score_of(domain, event) if guardrail.at_most is not None else None
    content = [
        guardrail.model_dump(mode="json", exclude={"description"}),
        *(event, silent.total_seconds(), score),
    ]
    policy, other = 1 - arms.random - arms.nobody, getattr(arms, guardrail.against)
    return GuardrailRule(
        name=name,
        guardrail=guardrail,
        event=event,
        score=score or "",
        silent=silent,
        of_actions=f"{name}{OF_ACTIONS}{_fingerprint(content)}",
        of_arm=f"{name}{OF_ARM}{_fingerprint([*content, arms.random, arms.nobody, arms.salt])}",
        policy_share=policy / (policy + other),
    )


def _fingerprint(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
