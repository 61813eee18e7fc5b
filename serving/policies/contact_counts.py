"""Counts of earlier contacts, as the rules of the contact policy need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from features.business.catalog_rules import Cap, CoolDown, Scope
from features.customers.contacts import Contact
from features.ledger.tables import from_micros
from serving.catalog.compiled_catalog import CompiledCatalog
from training.arrays import Bools


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What the contact policy looks at, beside the catalogue.

    Attributes
    ----------
    contacts
        With the customer and, where a rule is per account, with their colleagues; oldest first.
    consents : whether consent is given, by purpose, on this channel
    problems, account_problems : float
        Open problem journeys of the customer, and of their account.
    local : datetime
        Now, on the customer's clock.
    """

    customer_id: str
    channel: str
    now: datetime
    local: datetime
    contacts: Sequence[Contact]
    consents: Mapping[str, bool]
    problems: float = 0.0
    account_problems: float = 0.0


class Reason(NamedTuple):
    """Why an action is out: the rule's place in the catalogue, words, and the value found."""

    rule: str
    reason: str
    value: Any


class _Counted:
    """A rule that counts contacts, laid out for the actions of a playbook.

    ``code`` gives each action the number of what it is counted with: itself, its group, or all.
    """

    def __init__(self, compiled: CompiledCatalog, rule: Cap | CoolDown) -> None:
        self.rule = rule
        self.mask = _scope_mask(compiled, rule)
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

    def speaks_of(self, channel: str, direction: str) -> bool:
        """Whether it removes anything on a channel."""
        return _speaks_of(self.rule, channel, direction)

    def of(self, facts: ContactFacts, outbound: set[str]) -> list[tuple[Contact, int]]:
        """The contacts that it counts, each with its code."""
        rule, found = self.rule, []
        for contact in facts.contacts:
            theirs = contact.customer_id == facts.customer_id or rule.per == "account"
            here = "channel" not in rule.each or contact.channel == facts.channel
            direction = "outbound" if contact.channel in outbound else "inbound"
            if not (theirs and here and _speaks_of(rule, contact.channel, direction)):
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


class _Count:
    """A cap at work in one decision."""

    def __init__(
        self, index: int, counted: _Counted, facts: ContactFacts, outbound: set[str], now_us: int
    ) -> None:
        assert isinstance(counted.rule, Cap)
        self.rule = f"contact_policy.caps.{index}"
        self._counted, self._rule = counted, counted.rule
        since = now_us - _span_us(counted.rule.days)
        self._times: dict[int, list[int]] = {}
        self._counts = np.zeros(counted.size, dtype=np.int64)
        for contact, code in counted.of(facts, outbound):
            if contact.shown_us > since:
                self._times.setdefault(code, []).append(contact.shown_us)
                self._counts[code] += 1
        self.full = self._full()

    def add(self, action: int) -> None:
        """One more contact."""
        if self._counted.mask[action]:
            self._counts[self._counted.code[action]] += 1
            self.full = self._full()

    def _full(self) -> Bools:
        return self._counted.mask & (self._counts >= self._rule.at_most)[self._counted.code]

    def why(self, action: int) -> Reason:
        """How full it is, and when it is free again."""
        rule, code = self._rule, int(self._counted.code[action])
        count, times = int(self._counts[code]), self._times.get(code, [])
        words = f"{count} of at most {rule.at_most} contacts in {rule.days:g} days"
        if 0 < rule.at_most <= len(times):
            free = times[len(times) - rule.at_most] + _span_us(rule.days)
            words += f"; free again {_moment(from_micros(free))}"
        return Reason(self.rule, words, count)


def _scope_mask(compiled: CompiledCatalog, rule: Scope) -> Bools:
    return compiled.mask(groups=rule.groups, actions=rule.actions, kinds=rule.kinds)


def _speaks_of(rule: Scope, channel: str, direction: str) -> bool:
    here = not rule.channels or channel in rule.channels
    return here and rule.direction in (None, direction)


def _span_us(days: float) -> int:
    return timedelta(days=days) // timedelta(microseconds=1)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
