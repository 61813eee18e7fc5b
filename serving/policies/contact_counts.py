"""Counts of earlier contacts: they decide the caps and cool-downs of the contact policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features.business.catalog_rules import Cap, CoolDown, Scope
from features.customers.contacts import Contact
from features.ledger.tables import from_micros
from serving.catalog.compiled_catalog import CompiledCatalog
from training.arrays import Bools


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """The input of the contact policy, beside the catalogue.

    Attributes
    ----------
    contacts
        Earlier contacts with the customer and, where a rule is per account, with the other
        customers of the account; oldest first.
    consents : whether consent is given, by purpose, on this channel
    problems, account_problems : float
        Number of open problem journeys of the customer, and of their account.
    local : datetime
        Time of the decision, on the customer's clock.
    features_problem : str
        Why the customer's features could not be read; empty if they could. Then the number of open
        problems is unknown.
    """

    customer_id: str
    channel: str
    now: datetime
    local: datetime
    contacts: Sequence[Contact]
    consents: Mapping[str, bool]
    problems: float = 0.0
    account_problems: float = 0.0
    features_problem: str = ""


class CountingRule:
    """A cap or a cool-down, compiled for the actions of a catalogue.

    The rule counts each action alone, by its group, or together with all others. Actions that are
    counted together have the same number in ``code``.

    Attributes
    ----------
    mask : shape (n_actions,)
        Actions that the rule can remove.
    code : shape (n_actions,)
        Number of the counter of each action, below ``size``.
    nothing : shape (n_actions,)
        An empty mask, for all decisions in which the rule removes no action.
    """

    def __init__(self, compiled: CompiledCatalog, rule: Cap | CoolDown) -> None:
        self.rule = rule
        self.mask = scope_mask(compiled, rule)
        self._kind_of = compiled.catalog.kind_of
        if "action" in rule.each:
            self._codes, own = compiled.index, compiled.actions
        elif "group" in rule.each:
            self._codes = {name: code for code, name in enumerate(dict.fromkeys(compiled.groups))}
            own = compiled.groups
        else:
            self._codes, own = {}, ()
        self.size = max(len(self._codes), 1)
        n_actions = len(compiled.actions)
        codes = [self._codes[name] for name in own] if own else [0] * n_actions
        self.code = np.array(codes, dtype=np.intp)
        self.nothing = np.zeros(n_actions, dtype=bool)
        self.nothing.flags.writeable = False

    def applies_to(self, channel: str, direction: str) -> bool:
        """True if the rule can remove an action on a channel."""
        return applies_to(self.rule, channel, direction)

    def counted(self, facts: ContactFacts, outbound: set[str]) -> list[tuple[Contact, int]]:
        """The contacts that the rule counts, each with the number of its counter."""
        rule, found = self.rule, []
        for contact in facts.contacts:
            of_subject = contact.customer_id == facts.customer_id or rule.per == "account"
            here = "channel" not in rule.each or contact.channel == facts.channel
            direction = "outbound" if contact.channel in outbound else "inbound"
            if not (of_subject and here and applies_to(rule, contact.channel, direction)):
                continue
            if rule.groups and contact.group not in rule.groups:
                continue
            if rule.actions and contact.action_id not in rule.actions:
                continue
            if rule.kinds and self._kind_of(contact.group) not in rule.kinds:
                continue
            code = self._code_of(contact)
            if code is not None:
                found.append((contact, code))
        return found

    def _code_of(self, contact: Contact) -> int | None:
        if "action" in self.rule.each:
            return self._codes.get(contact.action_id)
        return self._codes.get(contact.group) if "group" in self.rule.each else 0


class CapCounts:
    """The counters of one cap in one decision; they grow while the slots are filled.

    Attributes
    ----------
    mask : shape (n_actions,)
        Actions whose counter has reached the cap.
    """

    def __init__(
        self,
        index: int,
        counting: CountingRule,
        facts: ContactFacts,
        outbound: set[str],
        now_us: int,
    ) -> None:
        assert isinstance(counting.rule, Cap)
        self.rule = f"contact_policy.caps.{index}"
        self._counting, self._cap = counting, counting.rule
        since = now_us - days_to_us(counting.rule.days)
        self._times: dict[int, list[int]] = {}
        self._counts = [0] * counting.size
        for contact, code in counting.counted(facts, outbound):
            if contact.shown_us > since:
                self._times.setdefault(code, []).append(contact.shown_us)
                self._counts[code] += 1
        self.mask = self._reached()

    def add(self, action: int) -> None:
        """Count one more contact."""
        if self._counting.mask[action]:
            self._counts[self._counting.code[action]] += 1
            self.mask = self._reached()

    def reason(self, action: int) -> tuple[str, Any]:
        """The count of an action in words, with the time when the cap allows it again."""
        cap, code = self._cap, int(self._counting.code[action])
        count, times = self._counts[code], self._times.get(code, [])
        text = f"{count} of at most {cap.at_most} contacts in {cap.days:g} days"
        if 0 < cap.at_most <= len(times):
            free_us = times[len(times) - cap.at_most] + days_to_us(cap.days)
            text += f"; free again {time_text(from_micros(free_us))}"
        return text, count

    def _reached(self) -> Bools:
        counting, at_most = self._counting, self._cap.at_most
        if max(self._counts) < at_most:  # for most customers
            return counting.nothing
        reached: Bools = np.array([count >= at_most for count in self._counts])
        return counting.mask & reached[counting.code]


def scope_mask(compiled: CompiledCatalog, rule: Scope) -> Bools:
    """Actions within the scope of a rule, shape (n_actions,)."""
    return compiled.mask(groups=rule.groups, actions=rule.actions, kinds=rule.kinds)


def applies_to(rule: Scope, channel: str, direction: str) -> bool:
    """True if a channel and its direction (inbound or outbound) are in the scope of a rule."""
    here = not rule.channels or channel in rule.channels
    return here and rule.direction in (None, direction)


def days_to_us(days: float) -> int:
    """Microseconds in a number of days."""
    return timedelta(days=days) // timedelta(microseconds=1)


def time_text(at: datetime) -> str:
    """A UTC time for people, to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
