"""Eligibility removes actions by the request, their dates, the engagement policy, and the arm."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.business.catalog import NO_ACTION
from features.errors import InvalidRequest
from serving.catalog.compiled_catalog import LEVELS, CompiledCatalog
from serving.catalog.decision_context import DecisionContext
from serving.contract.decisions import Arm, DecideRequest, Removed
from serving.policies.stopped_actions import Stops
from training.arrays import Bools, Indices

CHANNEL, NOT_ASKED, EXCLUDED, DATES, CONDITION, NOBODY, STOPPED = range(1, 8)
NO_TREATMENT = "treatments"
ARM_NOBODY = "arms.nobody"
RULES = ("", NO_TREATMENT, "request.actions", "request.exclude", "dates", "", ARM_NOBODY, "")
NO_STOPS: Stops = {}
_RULES, _LEVELS = np.array(RULES, dtype=object), np.array(LEVELS, dtype=object)


class EngagementPolicy:
    """The compiled engagement policy of a catalogue."""

    def __init__(self, compiled: CompiledCatalog) -> None:
        self._compiled = compiled
        rules = np.array(compiled.rules, dtype=np.intp).reshape(-1, 3)
        self._owner, self._level, self._condition = rules.T
        self._dated = [
            (number, action)
            for number, action in enumerate(compiled.catalog.actions.values())
            if action.start or action.end
        ]
        self._not_service = np.array([kind != "service" for kind in compiled.kinds])

    def evaluate(
        self,
        request: DecideRequest,
        decision_context: DecisionContext,
        holds: Bools,
        now: datetime,
        arm: Arm = "policy",
        stops: Stops = NO_STOPS,
    ) -> EligibilityResult:
        """Remove the actions that are not eligible for one decision.

        Parameters
        ----------
        holds : shape (n_conditions,)
            Which conditions of the catalogue hold in this decision context.
        arm
            Of the customer; in ``nobody`` only actions of groups of ``kind: service`` are left.
        stops
            The actions that a guardrail has switched off.

        Raises
        ------
        InvalidRequest
            If the caller names an action that the catalogue does not have.
        """
        compiled = self._compiled
        _refuse_unknown("actions", request.actions or (), compiled)
        _refuse_unknown("exclude", request.exclude, compiled)
        # The rules are written from the last to the first, so the first rule overwrites the others.
        code = np.zeros(len(compiled.actions), dtype=np.int8)
        if arm == "nobody":
            code[self._not_service] = NOBODY
        failed = (~holds[self._condition]).nonzero()[0]
        first = np.full(len(compiled.actions), -1, dtype=np.intp)
        first[self._owner[failed[::-1]]] = failed[::-1]
        code[first >= 0] = CONDITION
        for number, action in self._dated:
            if not action.runs_at(now):
                code[number] = DATES
        for name in stops:
            if (index := compiled.index.get(name)) is not None:
                code[index] = STOPPED
        for name in request.exclude:
            if name != NO_ACTION:
                code[compiled.index[name]] = EXCLUDED
        if request.actions is not None:
            requested = set(request.actions)
            code[[name not in requested for name in compiled.actions]] = NOT_ASKED
        code[~compiled.offered[request.channel]] = CHANNEL
        return EligibilityResult(
            compiled, request.channel, decision_context, code, first, self._level, stops
        )


class EligibilityResult:
    """The actions that are not eligible for one decision.

    Attributes
    ----------
    out : shape (n_actions,)
        Mask of the removed actions.
    """

    def __init__(
        self,
        compiled: CompiledCatalog,
        channel: str,
        decision_context: DecisionContext,
        code: NDArray[np.int8],
        first: Indices,
        level: Indices,
        stops: Stops = NO_STOPS,
    ) -> None:
        self.out: Bools = code > 0
        self._compiled = compiled
        self._channel = channel
        self._decision_context = decision_context
        self._code, self._first, self._level, self._stops = code, first, level, stops

    def rule(self, action: int) -> str:
        """Name of the first rule that removes an action."""
        return self._rules[action]

    @cached_property
    def _rules(self) -> list[str]:
        """The rule of each action, in one go: of 1,000 actions most are removed."""
        found = _RULES.take(self._code, mode="clip")
        failed = (self._code == CONDITION).nonzero()[0]
        found[failed] = _LEVELS.take(self._level[self._first[failed]])
        names: list[str] = found.tolist()
        for name, stop in self._stops.items():
            index = self._compiled.index.get(name)
            if index is not None and self._code[index] == STOPPED:
                names[index] = stop.rule
        return names

    def why(self, action: int) -> Removed:
        """The first rule that removes an action, with its reason and the values it found."""
        compiled, code = self._compiled, int(self._code[action])
        name = compiled.actions[action]
        if code == CONDITION:
            return self._unmet_condition(name, action)
        if code == STOPPED:
            return self._stops[name].removal(name)
        reason = {
            CHANNEL: f"it has no treatment for {self._channel}",
            NOT_ASKED: "the caller did not ask for it",
            EXCLUDED: "the caller excluded it",
            DATES: _dates_text(compiled, name),
            NOBODY: "the customer is in the arm that nobody contacts, except for service",
        }[code]
        return Removed(action_id=name, rule=RULES[code], reason=reason)

    def _unmet_condition(self, name: str, action: int) -> Removed:
        compiled = self._compiled
        condition = compiled.rules[self._first[action]][2]
        names = compiled.context_reader.names
        values = {
            used: self._decision_context.value(used, names)
            for used in compiled.conditions.names_in(condition)
        }
        found = ", ".join(f"{used} is {_value_text(value)}" for used, value in values.items())
        text = compiled.texts[condition]
        return Removed(
            action_id=name,
            rule=self.rule(action),
            reason=f"it needs {text}" + (f"; {found}" if found else ""),
            value=values,
        )


def _dates_text(compiled: CompiledCatalog, name: str) -> str:
    action = compiled.catalog.actions[name]
    parts = [f"starts {action.start.isoformat()}"] if action.start else []
    parts += [f"ends {action.end.isoformat()}"] if action.end else []
    return f"it {' and '.join(parts)}"


def _value_text(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return repr(value) if isinstance(value, str) else f"{value:.4g}"


def _refuse_unknown(field: str, named: Iterable[str], compiled: CompiledCatalog) -> None:
    for name in named:
        if name != NO_ACTION and name not in compiled.index:
            raise InvalidRequest(
                f"{field} has {name!r}.",
                expected="actions of the catalogue",
                remedy=f"Use some of: {', '.join(compiled.actions[:50])}.",
            )
