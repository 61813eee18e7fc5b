"""Keeps the guardrails of a running server: counts harm, and tells each worker what is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.ledger.ledger import Ledger
from serving.contract.guardrails import GuardrailView
from serving.guardrails.counting import HarmCounter
from serving.guardrails.guardrail_rules import GuardrailRules
from serving.guardrails.set_aside import harm_set_aside_sentence, read_set_aside
from serving.guardrails.stops import read_stops
from serving.guardrails.views import guardrail_views, warning_text
from serving.policies.stopped_actions import Stops


class GuardrailWatch:
    """The guardrails of one server process.

    Attributes
    ----------
    stops : mapping
        The actions that are switched off, as they were read last.
    warnings : list of str
        A sentence for each guardrail that the policy as a whole exceeds.
    problem : str
        A sentence about harm that is set aside; empty if there is none.
    """

    def __init__(self, ledger: Ledger, domain: Domain) -> None:
        self._ledger = ledger
        self._domain = domain
        self._counter = HarmCounter(ledger)
        self._rules: tuple[Catalog, GuardrailRules] | None = None
        self.stops: Stops = {}
        self.warnings: list[str] = []
        self.problem = ""

    def refresh(self) -> Stops:
        """Read the stops of now."""
        self.stops = self._ledger.read(read_stops)
        return self.stops

    def count(self, catalog: Catalog, now: datetime) -> bool:
        """Count some harm that is due; return whether there may be more. See `HarmCounter`."""
        if not catalog.guardrails:
            return False
        if self._rules is None or self._rules[0] is not catalog:
            self._rules = catalog, GuardrailRules.of(catalog, self._domain)
        return self._counter.count(self._rules[1], now)

    def look(self, catalog: Catalog) -> Mapping[tuple[str, str], float]:
        """Read the tests; return the e-value of each guardrail and action.

        The test of the policy's arm has the action ``policy``.
        """
        if not catalog.guardrails:
            self.warnings, self.problem = [], ""
            return {}
        views = self._ledger.read(
            lambda connection: guardrail_views(connection, catalog, self._domain)
        )
        self.problem = harm_set_aside_sentence(*self._ledger.read(read_set_aside))
        self.warnings = [
            warning_text(one.name, one.against)
            for one in views
            if one.policy and one.policy.exceeded
        ]
        return dict(_e_values(views))

    @property
    def remarks(self) -> list[str]:
        """A sentence for each stop and each warning, as `/readyz` tells them."""
        stopped = [
            f"guardrails: {stop.guardrail} has switched off {name} since "
            f"{stop.stopped_at.isoformat(timespec='seconds')}; 'nba guardrails' tells why"
            for name, stop in sorted(self.stops.items())
        ]
        return [*stopped, *self.warnings]


def _e_values(views: list[GuardrailView]) -> list[tuple[tuple[str, str], float]]:
    found = []
    for view in views:
        if view.policy:
            found.append(((view.name, "policy"), view.policy.e_value))
        found += [((view.name, one.action_id or ""), one.e_value) for one in view.actions]
    return found
