"""May we? What the caller, the catalogue's dates and the engagement policy rule out, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from features.business.catalog import NO_ACTION
from features.errors import InvalidRequest
from serving.catalog.compiled_catalog import LEVELS, Playbook
from serving.catalog.decision_context import Situation
from serving.contract.decisions import DecideRequest, Removed
from training.arrays import Bools, Indices

CHANNEL, NOT_ASKED, EXCLUDED, DATES, CONDITION = range(1, 6)
NO_TREATMENT = "treatments"
RULES = ("", NO_TREATMENT, "request.actions", "request.exclude", "dates")


class Engagement:
    """The engagement policy of a playbook."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        rules = np.array(playbook.rules, dtype=np.intp).reshape(-1, 3)
        self._owner, self._level, self._condition = rules.T
        self._dated = [
            (number, action)
            for number, action in enumerate(playbook.catalog.actions.values())
            if action.start or action.end
        ]

    def judge(
        self, request: DecideRequest, situation: Situation, holds: Bools, now: datetime
    ) -> Ruling:
        """Which actions stay.

        Parameters
        ----------
        holds : shape (n_conditions,)
            Which conditions of the playbook hold in this situation.

        Raises
        ------
        InvalidRequest
            If the caller names an action that the catalogue does not have.
        """
        playbook = self._playbook
        _refuse_unknown("actions", request.actions or (), playbook)
        _refuse_unknown("exclude", request.exclude, playbook)
        # Written in the order of importance from the last to the first: the first one stands.
        code = np.zeros(len(playbook.actions), dtype=np.int8)
        failed = (~holds[self._condition]).nonzero()[0]
        first = np.full(len(playbook.actions), -1, dtype=np.intp)
        first[self._owner[failed[::-1]]] = failed[::-1]
        code[first >= 0] = CONDITION
        for number, action in self._dated:
            if not action.runs_at(now):
                code[number] = DATES
        for name in request.exclude:
            if name != NO_ACTION:
                code[playbook.index[name]] = EXCLUDED
        if request.actions is not None:
            wanted = set(request.actions)
            code[[name not in wanted for name in playbook.actions]] = NOT_ASKED
        code[~playbook.offered[request.channel]] = CHANNEL
        return Ruling(playbook, request.channel, situation, code, first, self._level)


class Ruling:
    """What the engagement policy said in one decision.

    Attributes
    ----------
    out : shape (n_actions,)
        Which actions are removed.
    """

    def __init__(
        self,
        playbook: Playbook,
        channel: str,
        situation: Situation,
        code: NDArray[np.int8],
        first: Indices,
        level: Indices,
    ) -> None:
        self.out: Bools = code > 0
        self._playbook = playbook
        self._channel = channel
        self._situation = situation
        self._code, self._first, self._level = code, first, level

    def rule(self, action: int) -> str:
        """The first rule that removes an action, by the action's position."""
        code = int(self._code[action])
        return LEVELS[self._level[self._first[action]]] if code == CONDITION else RULES[code]

    def why(self, action: int) -> Removed:
        """The same with words and the value found."""
        playbook, code = self._playbook, int(self._code[action])
        name = playbook.actions[action]
        if code == CONDITION:
            return self._condition(name, action)
        reason = {
            CHANNEL: f"it has no treatment for {self._channel}",
            NOT_ASKED: "the caller did not ask for it",
            EXCLUDED: "the caller excluded it",
            DATES: _dates(playbook, name),
        }[code]
        return Removed(action_id=name, rule=RULES[code], reason=reason)

    def _condition(self, name: str, action: int) -> Removed:
        playbook = self._playbook
        condition = playbook.rules[self._first[action]][2]
        names = playbook.situations.names
        values = {
            used: self._situation.value(used, names)
            for used in playbook.conditions.names_in(condition)
        }
        found = ", ".join(f"{used} is {_shown(value)}" for used, value in values.items())
        text = playbook.texts[condition]
        return Removed(
            action_id=name,
            rule=self.rule(action),
            reason=f"it needs {text}" + (f"; {found}" if found else ""),
            value=values,
        )


def _dates(playbook: Playbook, name: str) -> str:
    action = playbook.catalog.actions[name]
    parts = [f"starts {action.start.isoformat()}"] if action.start else []
    parts += [f"ends {action.end.isoformat()}"] if action.end else []
    return f"it {' and '.join(parts)}"


def _shown(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return repr(value) if isinstance(value, str) else f"{value:.4g}"


def _refuse_unknown(field: str, named: Iterable[str], playbook: Playbook) -> None:
    for name in named:
        if name != NO_ACTION and name not in playbook.index:
            raise InvalidRequest(
                f"{field} has {name!r}.",
                expected="actions of the catalogue",
                remedy=f"Use some of: {', '.join(playbook.actions[:50])}.",
            )
