"""Counts of earlier contacts: they decide the caps and cool-downs of the contact policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features.business.catalog import DEFAULT_GROUP
from features.business.catalog_rules import Cap, CoolDown, Scope
from features.customers.account_contacts import (
    AccountContacts,
    AccountCount,
    ContactScope,
    Counted,
)
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
        Earlier contacts with the customer, oldest first. In decisions that were logged before
        accounts were counted apart: also those with the other customers of the account.
    account
        Counts and contacts of the customer's account; None if there is no account, or no rule
        is per account.
    consents : whether consent is given, by purpose, on this channel
    problems, account_problems : float
        Number of open problem journeys of the customer, and of their account.
    local : datetime
        Time of the decision, on the customer's clock.
    features_problem : str
        Why the customer's features could not be read; empty if they could. Then the number of open
        problems is unknown, and whether the customer has left.
    left_at : datetime or None
        When the customer left; None for one who has not left.
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
    account: AccountContacts | None = None
    left_at: datetime | None = None


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
        self._kind_of, self._groups = compiled.catalog.kind_of, tuple(compiled.catalog.groups)
        self._of_account: dict[str, AccountCount] = {}
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

    def of_account(self, channel: str, outbound: set[str]) -> AccountCount:
        """The count of this cap in the contacts of an account, for decisions on a channel."""
        known = self._of_account.get(channel)
        if known is None:
            rule = self.rule
            assert isinstance(rule, Cap)
            scope = ContactScope(**self._channels(channel, outbound), **self._groups_counted())
            by: Counted = "action_group" if "group" in rule.each else ""
            if "action" in rule.each:
                by = "action_id"
            known = AccountCount(scope, rule.days, by, rule.at_most)
            self._of_account[channel] = known
        return known

    def _channels(self, channel: str, outbound: set[str]) -> dict[str, tuple[str, ...]]:
        rule, named = self.rule, {*self.rule.channels}
        if "channel" in rule.each:
            return {"channels": (channel,)}
        if rule.direction == "outbound":
            return {"channels": tuple(sorted(outbound & named if named else outbound))}
        if rule.direction == "inbound" and not named:
            return {"other_channels": tuple(sorted(outbound))}
        if rule.direction == "inbound":
            named -= outbound
        return {"channels": tuple(sorted(named))} if rule.channels else {}

    def _groups_counted(self) -> dict[str, tuple[str, ...]]:
        rule, kind_of = self.rule, self._kind_of
        found = {"actions": rule.actions} if rule.actions else {}
        if not rule.kinds:
            return found | ({"groups": rule.groups} if rule.groups else {})
        if not rule.groups and DEFAULT_GROUP.kind in rule.kinds:  # as are those of old catalogues
            others = tuple(name for name in self._groups if kind_of(name) not in rule.kinds)
            return found | {"other_groups": others}
        groups = rule.groups or self._groups
        return found | {"groups": tuple(name for name in groups if kind_of(name) in rule.kinds)}

    def counted(
        self, facts: ContactFacts, outbound: set[str], contacts: Sequence[Contact]
    ) -> list[tuple[Contact, int]]:
        """Those of some contacts that the rule counts, each with the number of its counter."""
        rule, found = self.rule, []
        for contact in contacts:
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
            code = self.code_of(contact.action_id, contact.group)
            if code is not None:
                found.append((contact, code))
        return found

    def code_of(self, action_id: str, group: str) -> int | None:
        """The counter of a contact; None if the catalogue has no such action or group."""
        if "action" in self.rule.each:
            return self._codes.get(action_id)
        return self._codes.get(group) if "group" in self.rule.each else 0


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
        self._counts = [0] * counting.size
        # Time of the newest contact but `at_most - 1`, by counter: when it leaves the window, the
        # cap allows one more.
        self._nth_us: dict[int, int] = {}
        stored = None
        if counting.rule.per == "account" and facts.account is not None:
            key = counting.of_account(facts.channel, outbound).key
            stored = facts.account.counts.get(key)
        if stored is None:
            self._count(facts.contacts, facts, outbound, now_us)
        else:
            self._take(stored)
        self.mask = self._reached()

    def _take(self, stored: Mapping[str, Sequence[int]]) -> None:
        for name, (count, nth_us) in stored.items():
            code = self._counting.code_of(name, name)
            if code is not None:
                self._counts[code] = count
                self._nth_us[code] = nth_us

    def _count(
        self, contacts: Sequence[Contact], facts: ContactFacts, outbound: set[str], now_us: int
    ) -> None:
        cap = self._cap
        since, times = now_us - days_to_us(cap.days), dict[int, list[int]]()
        recent = [one for one in contacts if one.shown_us > since]
        for contact, code in self._counting.counted(facts, outbound, recent):
            times.setdefault(code, []).append(contact.shown_us)
            self._counts[code] += 1
        for code, shown_us in times.items():
            if 0 < cap.at_most <= len(shown_us):
                self._nth_us[code] = shown_us[len(shown_us) - cap.at_most]

    def add(self, action: int) -> None:
        """Count one more contact."""
        if self._counting.mask[action]:
            self._counts[self._counting.code[action]] += 1
            self.mask = self._reached()

    def reason(self, action: int) -> tuple[str, Any]:
        """The count of an action in words, with the time when the cap allows it again."""
        cap, code = self._cap, int(self._counting.code[action])
        count, nth_us = self._counts[code], self._nth_us.get(code)
        text = f"{count} of at most {cap.at_most} contacts in {cap.days:g} days"
        if nth_us:
            text += f"; free again {time_text(from_micros(nth_us + days_to_us(cap.days)))}"
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
