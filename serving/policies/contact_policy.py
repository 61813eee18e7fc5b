"""Should we now? Consent, suspension, quiet hours, cool-downs and caps, each with what it found.

Compiled once for a catalogue; asked inside the transaction that appends the decision, with the
contacts read there, so that no cap is passed under any concurrency. Pure: no clock, no input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from features.business.catalog_rules import CoolDown
from features.ledger.tables import from_micros, micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.policies.contact_counts import (
    ContactFacts,
    Reason,
    _Count,
    _Counted,
    _moment,
    _scope_mask,
    _span_us,
    _speaks_of,
)
from training.arrays import Bools


class _Verdict(NamedTuple):
    """What one rule says: which actions it removes, and why."""

    rule: str
    mask: Bools
    why: Callable[[int], Reason]


class ContactPolicy:
    """The contact policy of a playbook."""

    def __init__(self, compiled: CompiledCatalog) -> None:
        self._compiled = compiled
        self._policy = compiled.catalog.contact_policy
        policy = self._policy
        self._outbound = set(policy.outbound)
        self._caps = [_Counted(compiled, rule) for rule in policy.caps]
        self._rests = [_Counted(compiled, rule) for rule in policy.cool_downs]
        self._quiet = [_scope_mask(compiled, rule) for rule in policy.quiet_hours]
        self._suspended = compiled.mask(kinds=policy.suspension.kinds)
        catalog = compiled.catalog
        purposes = [catalog.group_of(action).purpose for action in catalog.actions.values()]
        self._needs = {
            purpose: np.array([purpose == needed for needed in purposes])
            for purpose in catalog.purposes
        }
        longest = max(action.attribution_days for action in catalog.actions.values())
        rests = [rest.days + longest for rest in policy.cool_downs]  # a no may come late
        self.days = max([cap.days for cap in policy.caps] + rests, default=0.0)
        counting = [counted.rule for counted in (*self._caps, *self._rests)]
        self.per_account = any(rule.per == "account" for rule in counting)

    def evaluate(self, facts: ContactFacts) -> ContactPolicyResult:
        """Which actions are out, and why."""
        now_us = micros(facts.now)
        direction = "outbound" if facts.channel in self._outbound else "inbound"
        verdicts = [*self._consent(facts), *self._suspension(facts)]
        verdicts += self._quiet_hours(facts, direction)
        for index, rest in enumerate(self._rests):
            if rest.speaks_of(facts.channel, direction):
                verdicts.append(self._cool_down(index, rest, facts, now_us))
        caps = [
            _Count(index, counted, facts, self._outbound, now_us)
            for index, counted in enumerate(self._caps)
            if counted.speaks_of(facts.channel, direction)
        ]
        return ContactPolicyResult(verdicts, caps, len(self._compiled.actions))

    def _consent(self, facts: ContactFacts) -> list[_Verdict]:
        found = []
        for purpose, mask in self._needs.items():
            if not facts.consents.get(purpose, False):
                why = Reason(
                    "contact_policy.consent",
                    f"there is no consent for {purpose} on {facts.channel}",
                    purpose,
                )
                found.append(_Verdict(why.rule, mask, lambda _, why=why: why))  # type: ignore[misc]
        return found

    def _suspension(self, facts: ContactFacts) -> list[_Verdict]:
        whole = self._policy.suspension.per == "account"
        problems = max(facts.problems, facts.account_problems if whole else 0.0)
        if not problems > 0:
            return []
        theirs = "the customer has" if facts.problems > 0 else "somebody of the account has"
        plural = "s" if problems > 1 else ""
        why = Reason(
            "contact_policy.suspension",
            f"{theirs} {problems:.0f} open problem{plural}; nothing is promoted meanwhile",
            problems,
        )
        return [_Verdict(why.rule, self._suspended, lambda _: why)]

    def _quiet_hours(self, facts: ContactFacts, direction: str) -> list[_Verdict]:
        found = []
        clock = facts.local.time()
        for index, (rule, mask) in enumerate(
            zip(self._policy.quiet_hours, self._quiet, strict=True)
        ):
            over_midnight = rule.begin > rule.until
            after, before = clock >= rule.begin, clock < rule.until
            quiet = (after or before) if over_midnight else (after and before)
            if quiet and _speaks_of(rule, facts.channel, direction):
                why = Reason(
                    f"contact_policy.quiet_hours.{index}",
                    f"it is {clock:%H:%M} for the customer; "
                    f"quiet from {rule.begin:%H:%M} until {rule.until:%H:%M}",
                    f"{clock:%H:%M}",
                )
                found.append(_Verdict(why.rule, mask, lambda _, why=why: why))  # type: ignore[misc]
        return found

    def _cool_down(self, index: int, rest: _Counted, facts: ContactFacts, now_us: int) -> _Verdict:
        rule = rest.rule
        assert isinstance(rule, CoolDown)
        began = (self._last_no if rule.after else self._shown_in_vain)(rest, rule, facts)
        until = {code: at + _span_us(rule.days) for code, at in began.items()}
        resting = np.zeros(rest.size, dtype=bool)
        for code, end in until.items():
            resting[code] = now_us < end
        said = " or ".join(rule.after) if rule.after else f"{rule.after_showings} showings in vain"

        place = f"contact_policy.cool_downs.{index}"

        def why(action: int) -> Reason:
            end = from_micros(until[int(rest.code[action])])
            return Reason(
                place,
                f"it rests {rule.days:g} days after {said}, until {_moment(end)}",
                _moment(end),
            )

        return _Verdict(place, rest.mask & resting[rest.code], why)

    def _last_no(self, rest: _Counted, rule: CoolDown, facts: ContactFacts) -> dict[int, int]:
        last: dict[int, int] = {}
        for contact, code in rest.of(facts, self._outbound):
            for outcome in rule.after:
                if (at := contact.outcomes_at.get(outcome)) is not None:
                    last[code] = max(last.get(code, at), at)
        return last

    def _shown_in_vain(self, rest: _Counted, rule: CoolDown, facts: ContactFacts) -> dict[int, int]:
        """When the last of enough showings without a reaction was."""
        outcomes = self._compiled.catalog.outcomes
        rows: dict[int, int] = {}
        last: dict[int, int] = {}
        for contact, code in rest.of(facts, self._outbound):
            reacted = any(
                name in outcomes and outcomes[name].is_reaction for name in contact.outcomes_at
            )
            rows[code] = 0 if reacted else rows.get(code, 0) + 1
            last[code] = contact.shown_us
        assert rule.after_showings is not None
        return {code: last[code] for code, row in rows.items() if row >= rule.after_showings}


class ContactPolicyResult:
    """What the contact policy says of each action; caps go on counting while slots are filled.

    Attributes
    ----------
    out : shape (n_actions,)
        Which actions are removed now.
    """

    def __init__(self, verdicts: list[_Verdict], caps: list[_Count], n_actions: int) -> None:
        self._fixed = verdicts
        self._caps = caps
        self._always = np.zeros(n_actions, dtype=bool)
        for verdict in verdicts:
            self._always |= verdict.mask

    @property
    def out(self) -> Bools:
        """Which actions are removed, after what was counted so far."""
        out = self._always
        for cap in self._caps:
            out = out | cap.full
        return out

    def count(self, action: int) -> None:
        """An action is shown in this decision: it counts for the slots that follow."""
        for cap in self._caps:
            cap.add(action)

    def rule(self, action: int) -> str:
        """The first rule that removes an action, by its place in the catalogue."""
        return self._first(action).rule

    def why(self, action: int) -> Reason:
        """The same with words and the value found."""
        return self._first(action).why(action)

    def _first(self, action: int) -> _Verdict | _Count:
        for verdict in self._fixed:
            if verdict.mask[action]:
                return verdict
        return next(cap for cap in self._caps if cap.full[action])
