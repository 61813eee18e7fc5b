"""The contact policy removes actions by consent, suspension, quiet hours, cool-downs and caps.

The policy is compiled once for a catalogue. The ledger transaction that appends a decision checks
that the contacts are still those of the evaluation, so no cap is exceeded under concurrency. The
policy is a pure function of its input: it reads no clock and no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from features.business.catalog_rules import CoolDown
from features.customers.account_contacts import AccountCount, ShowingsWindow
from features.customers.contacts import Contact
from features.ledger.tables import from_micros, micros
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import Removed
from serving.policies.contact_counts import (
    CapCounts,
    ContactFacts,
    CountingRule,
    applies_to,
    days_to_us,
    scope_mask,
    time_text,
)
from serving.policies.leavers import LeaverRules
from serving.policies.policy_result import FixedRemovals, same_for_all
from training.arrays import Bools

FEATURES_UNKNOWN = "contact_policy.suspension.features_unknown"  # a rule without a key in the file


class ContactPolicy:
    """The compiled contact policy of a catalogue.

    Attributes
    ----------
    days : float
        How far back contacts matter by the time of their showing.
    reaction_days : float
        How far back they matter by the time of their last outcome: it may come at any time.
    per_account : bool
        Whether a rule counts the contacts of the whole account.
    """

    def __init__(self, compiled: CompiledCatalog) -> None:
        self._compiled = compiled
        self._policy = compiled.catalog.contact_policy
        policy = self._policy
        self._outbound = set(policy.outbound)
        self._caps = [CountingRule(compiled, rule) for rule in policy.caps]
        self._cool_downs = [CountingRule(compiled, rule) for rule in policy.cool_downs]
        self._quiet = [scope_mask(compiled, rule) for rule in policy.quiet_hours]
        self._suspended = compiled.mask(kinds=policy.suspension.kinds)
        kinds = policy.suspension.kinds and {*policy.suspension.kinds, "promotion"}
        self._promotions = compiled.mask(kinds=kinds)
        self._leavers = LeaverRules(compiled)
        catalog = compiled.catalog
        purposes = [catalog.group_of(action).purpose for action in catalog.actions.values()]
        self._needs = {
            purpose: np.array([purpose == needed for needed in purposes])
            for purpose in catalog.purposes
        }
        # A rejection starts a cool-down, and may come until the attribution window closes.
        longest = max(action.attribution_days for action in catalog.actions.values())
        cool_down_days = [rule.days + longest for rule in policy.cool_downs]
        self.days = max([cap.days for cap in policy.caps] + cool_down_days, default=0.0)
        shared = [rule for rule in policy.cool_downs if rule.per == "account"]
        self._window = None
        self.reaction_days = _longest(rule for rule in policy.cool_downs if rule.after)
        if shared:
            # A cool-down after showings in vain also needs the showings without any outcome.
            in_vain = not all(rule.after for rule in shared)
            days = _longest(shared) + longest if in_vain else 0.0
            self._window = ShowingsWindow(days, _longest(rule for rule in shared if rule.after))
        self._shared_caps = [one for one in self._caps if one.rule.per == "account"]
        self.per_account = bool(shared or self._shared_caps)

    def of_account(self, channel: str) -> tuple[list[AccountCount], ShowingsWindow | None]:
        """List what a decision on a channel needs of the contacts of the customer's account."""
        direction = "outbound" if channel in self._outbound else "inbound"
        counts = [
            counting.of_account(channel, self._outbound)
            for counting in self._shared_caps
            if counting.applies_to(channel, direction)
        ]
        return counts, self._window

    def evaluate(self, facts: ContactFacts) -> ContactPolicyResult:
        """Apply all rules to the facts of one decision."""
        now_us = micros(facts.now)
        direction = "outbound" if facts.channel in self._outbound else "inbound"
        fixed = [*self._consent(facts), *self._suspension(facts)]
        fixed += self._features_unknown(facts, direction)
        fixed += self._leavers.removals(facts)
        fixed += self._quiet_hours(facts, direction)
        for index, counting in enumerate(self._cool_downs):
            if counting.applies_to(facts.channel, direction):
                fixed += self._cool_down(index, counting, facts, now_us)
        caps = [
            CapCounts(index, counting, facts, self._outbound, now_us)
            for index, counting in enumerate(self._caps)
            if counting.applies_to(facts.channel, direction)
        ]
        return ContactPolicyResult(self._compiled.actions, fixed, caps)

    def _consent(self, facts: ContactFacts) -> list[FixedRemovals]:
        found = []
        for purpose, mask in self._needs.items():
            if not facts.consents.get(purpose, False):
                reason = f"there is no consent for {purpose} on {facts.channel}", purpose
                found.append(same_for_all("contact_policy.consent", mask, reason))
        return found

    def _suspension(self, facts: ContactFacts) -> list[FixedRemovals]:
        per_account = self._policy.suspension.per == "account"
        problems = max(facts.problems, facts.account_problems if per_account else 0.0)
        if not problems > 0:
            return []
        subject = "the customer has" if facts.problems > 0 else "somebody of the account has"
        plural = "s" if problems > 1 else ""
        text = f"{subject} {problems:.0f} open problem{plural}; nothing is promoted meanwhile"
        return [same_for_all("contact_policy.suspension", self._suspended, (text, problems))]

    def _features_unknown(self, facts: ContactFacts, direction: str) -> list[FixedRemovals]:
        if not facts.features_problem:
            return []
        outbound = direction == "outbound"
        mask = np.ones_like(self._promotions) if outbound else self._promotions
        text = (
            "it is unknown whether the customer has an open problem, because the features could "
            f"not be read; nothing is {'sent' if outbound else 'promoted'} meanwhile"
        )
        return [same_for_all(FEATURES_UNKNOWN, mask, (text, facts.features_problem))]

    def _quiet_hours(self, facts: ContactFacts, direction: str) -> list[FixedRemovals]:
        found = []
        clock = facts.local.time()
        for index, (rule, mask) in enumerate(
            zip(self._policy.quiet_hours, self._quiet, strict=True)
        ):
            over_midnight = rule.begin > rule.until
            after, before = clock >= rule.begin, clock < rule.until
            quiet = (after or before) if over_midnight else (after and before)
            if quiet and applies_to(rule, facts.channel, direction):
                text = (
                    f"it is {clock:%H:%M} for the customer; "
                    f"quiet from {rule.begin:%H:%M} until {rule.until:%H:%M}"
                )
                name = f"contact_policy.quiet_hours.{index}"
                found.append(same_for_all(name, mask, (text, f"{clock:%H:%M}")))
        return found

    def _cool_down(
        self, index: int, counting: CountingRule, facts: ContactFacts, now_us: int
    ) -> list[FixedRemovals]:
        rule = counting.rule
        assert isinstance(rule, CoolDown)
        began_us = (self._last_outcomes if rule.after else self._ignored)(counting, rule, facts)
        lasts_us = days_to_us(rule.days)
        end_us = {code: at + lasts_us for code, at in began_us.items() if now_us < at + lasts_us}
        if not end_us:  # for most customers
            return []
        cooling = np.zeros(counting.size, dtype=bool)
        cooling[list(end_us)] = True
        cause = " or ".join(rule.after) if rule.after else f"{rule.after_showings} showings in vain"

        def reason(action: int) -> tuple[str, Any]:
            end = time_text(from_micros(end_us[int(counting.code[action])]))
            return f"it rests {rule.days:g} days after {cause}, until {end}", end

        name = f"contact_policy.cool_downs.{index}"
        return [FixedRemovals(name, counting.mask & cooling[counting.code], reason)]

    def _last_outcomes(
        self, counting: CountingRule, rule: CoolDown, facts: ContactFacts
    ) -> dict[int, int]:
        """Time in microseconds of the last outcome that starts the cool-down, by counter."""
        last: dict[int, int] = {}
        for contact, code in counting.counted(facts, self._outbound, _showings(rule, facts)):
            for outcome in rule.after:
                if (at := contact.outcomes_at.get(outcome)) is not None:
                    last[code] = max(last.get(code, at), at)
        return last

    def _ignored(
        self, counting: CountingRule, rule: CoolDown, facts: ContactFacts
    ) -> dict[int, int]:
        """Time in microseconds of the last contact, by counter, where enough contacts in a row
        had no reaction."""
        outcomes = self._compiled.catalog.outcomes
        in_a_row: dict[int, int] = {}
        last: dict[int, int] = {}
        days = self._window.days if self._window and rule.per == "account" else self.days
        since_us = micros(facts.now) - days_to_us(days)
        recent = [one for one in _showings(rule, facts) if one.shown_us > since_us]
        for contact, code in counting.counted(facts, self._outbound, recent):
            reacted = any(
                name in outcomes and outcomes[name].is_reaction for name in contact.outcomes_at
            )
            in_a_row[code] = 0 if reacted else in_a_row.get(code, 0) + 1
            last[code] = contact.shown_us
        assert rule.after_showings is not None
        return {
            code: last[code] for code, count in in_a_row.items() if count >= rule.after_showings
        }


class ContactPolicyResult:
    """The actions that the contact policy removes from one decision.

    The counters of the caps grow while the slots of the decision are filled.
    """

    def __init__(
        self, actions: Sequence[str], fixed: list[FixedRemovals], caps: list[CapCounts]
    ) -> None:
        self._actions = actions
        self._fixed = fixed
        self._caps = caps
        self._fixed_out = np.zeros(len(actions), dtype=bool)
        for removals in fixed:
            self._fixed_out |= removals.mask

    @property
    def out(self) -> Bools:
        """Mask of the removed actions after the slots filled so far, shape (n_actions,)."""
        out = self._fixed_out
        for cap in self._caps:
            out = out | cap.mask
        return out

    def count(self, action: int) -> None:
        """Count an action that this decision shows, for the slots that follow."""
        for cap in self._caps:
            cap.add(action)

    def rule(self, action: int) -> str:
        """Key in the catalogue of the first rule that removes an action."""
        return self._first(action).rule

    def why(self, action: int) -> Removed:
        """The first rule that removes an action, with its reason and the value it found."""
        first = self._first(action)
        reason, value = first.reason(action)
        name = self._actions[action]
        return Removed(action_id=name, rule=first.rule, reason=reason, value=value)

    def _first(self, action: int) -> FixedRemovals | CapCounts:
        rules: list[FixedRemovals | CapCounts] = [*self._fixed, *self._caps]
        return next(rule for rule in rules if rule.mask[action])


def _longest(rules: Iterable[CoolDown]) -> float:
    return max((rule.days for rule in rules), default=0.0)


def _showings(rule: CoolDown, facts: ContactFacts) -> Sequence[Contact]:
    """The contacts that a cool-down looks at."""
    account = facts.account if rule.per == "account" else None
    return account.showings if account is not None and account.showings_of else facts.contacts
