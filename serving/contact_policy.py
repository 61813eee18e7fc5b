"""Should we now? Consent, suspension, quiet hours, cool-downs and caps, each with what it found.

Compiled once for a catalogue; asked inside the transaction that appends the decision, with the
contacts read there, so that no cap is passed under any concurrency. Pure: no clock, no input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.contacts import Contact
from features.playbook import Playbook
from features.policies import Cap, CoolDown, Scope
from features.tables import from_micros, micros

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Facts:
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


class _Verdict(NamedTuple):
    """What one rule says: which actions it removes, and why."""

    rule: str
    mask: Mask
    why: Callable[[int], Reason]


class ContactPolicy:
    """The contact policy of a playbook."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        self._policy = playbook.catalog.contact_policy
        policy = self._policy
        self._outbound = set(policy.outbound)
        self._caps = [_Counted(playbook, rule) for rule in policy.caps]
        self._rests = [_Counted(playbook, rule) for rule in policy.cool_downs]
        self._quiet = [_scope_mask(playbook, rule) for rule in policy.quiet_hours]
        self._suspended = playbook.mask(kinds=policy.suspension.kinds)
        catalog = playbook.catalog
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

    def judge(self, facts: Facts) -> Judgement:
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
        return Judgement(verdicts, caps, len(self._playbook.actions))

    def _consent(self, facts: Facts) -> list[_Verdict]:
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

    def _suspension(self, facts: Facts) -> list[_Verdict]:
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

    def _quiet_hours(self, facts: Facts, direction: str) -> list[_Verdict]:
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

    def _cool_down(self, index: int, rest: _Counted, facts: Facts, now_us: int) -> _Verdict:
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

    def _last_no(self, rest: _Counted, rule: CoolDown, facts: Facts) -> dict[int, int]:
        last: dict[int, int] = {}
        for contact, code in rest.of(facts, self._outbound):
            for outcome in rule.after:
                if (at := contact.said.get(outcome)) is not None:
                    last[code] = max(last.get(code, at), at)
        return last

    def _shown_in_vain(self, rest: _Counted, rule: CoolDown, facts: Facts) -> dict[int, int]:
        """When the last of enough showings without a reaction was."""
        outcomes = self._playbook.catalog.outcomes
        rows: dict[int, int] = {}
        last: dict[int, int] = {}
        for contact, code in rest.of(facts, self._outbound):
            reacted = any(name in outcomes and outcomes[name].is_reaction for name in contact.said)
            rows[code] = 0 if reacted else rows.get(code, 0) + 1
            last[code] = contact.shown_us
        assert rule.after_showings is not None
        return {code: last[code] for code, row in rows.items() if row >= rule.after_showings}


class Judgement:
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
    def out(self) -> Mask:
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


class _Counted:
    """A rule that counts contacts, laid out for the actions of a playbook.

    ``code`` gives each action the number of what it is counted with: itself, its group, or all.
    """

    def __init__(self, playbook: Playbook, rule: Cap | CoolDown) -> None:
        self.rule = rule
        self.mask = _scope_mask(playbook, rule)
        self._kind_of = playbook.catalog.kind_of
        if "action" in rule.each:
            self._codes, own = playbook.index, playbook.actions
        elif "group" in rule.each:
            self._codes = {name: code for code, name in enumerate(dict.fromkeys(playbook.groups))}
            own = playbook.groups
        else:
            self._codes, own = {}, ()
        self.size = max(len(self._codes), 1)
        n_actions = len(playbook.actions)
        codes = [self._codes[name] for name in own] if own else [0] * n_actions
        self.code = np.array(codes, dtype=np.intp)

    def speaks_of(self, channel: str, direction: str) -> bool:
        """Whether it removes anything on a channel."""
        return _speaks_of(self.rule, channel, direction)

    def of(self, facts: Facts, outbound: set[str]) -> list[tuple[Contact, int]]:
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
        self, index: int, counted: _Counted, facts: Facts, outbound: set[str], now_us: int
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

    def _full(self) -> Mask:
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


def _scope_mask(playbook: Playbook, rule: Scope) -> Mask:
    return playbook.mask(groups=rule.groups, actions=rule.actions, kinds=rule.kinds)


def _speaks_of(rule: Scope, channel: str, direction: str) -> bool:
    here = not rule.channels or channel in rule.channels
    return here and rule.direction in (None, direction)


def _span_us(days: float) -> int:
    return timedelta(days=days) // timedelta(microseconds=1)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
