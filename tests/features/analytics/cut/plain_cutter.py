"""Cuts the past of one customer in the plainest way: the definition to compare the product with.

Each journey is a list of its steps. All open journeys are looked at for each event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from features.business.domain import Domain
from features.journeys.journey_steps import StepRules

DAY = 86_400_000_000


@dataclass
class Plain:
    """A journey: its map, its case, the times and names of its steps, and how it ended."""

    map: str
    case: str | None = None
    steps: list[tuple[int, str]] = field(default_factory=list)
    how: str = "open"
    end: int | None = None

    def close(self, how: str, at: int) -> None:
        self.how, self.end = how, at

    def told(self) -> tuple[Any, ...]:
        return self.map, self.case or "", tuple(self.steps), self.how, self.end or 0


def plain_cut(
    domain: Domain, events: list[tuple[str, str, int, dict[str, Any]]], shown: list[int], until: int
) -> list[tuple[Any, ...]]:
    """Cut events (type, channel, time, properties) and the times of shown actions."""
    known = [one for one in events if one[0] in domain.events and one[1] in domain.channels]
    known = sorted((one for one in known if one[2] <= until), key=lambda one: one[2])
    kinds = _kinds(domain, known, until)
    return sorted(one.told() for one in [*kinds, *_lives(domain, known, shown, until)])


def _kinds(domain: Domain, events: list[Any], until: int) -> list[Plain]:
    rules, found = StepRules(domain), list[Plain]()
    last = dict.fromkeys(domain.journey_kinds, 0)

    def lapse(kind: str, now: int) -> None:
        days = domain.journey_kinds[kind].lapse_days
        if days is not None and now - last[kind] > days * DAY:
            for one in found:
                if one.map == kind and one.how == "open":
                    one.close("lapsed", last[kind] + round(days * DAY))

    for name, channel, at, properties in events:
        effect = rules.effect(name, channel, properties)
        assert effect is not None
        lapse(effect.kind, at)
        last[effect.kind] = at
        mine = [one for one in found if one.map == effect.kind and one.how == "open"]
        if effect.case is not None:
            mine = [one for one in mine if one.case == effect.case]
        elif effect.step == "starts":
            mine = []
        if not mine:
            mine = [Plain(effect.kind, effect.case)]
            found += mine
        mine[-1].steps.append((at, name))
        if effect.step == "ends":
            mine[-1].close("ended", at)
        if effect.leaves:
            for kind in domain.journey_kinds:
                lapse(kind, at)
            for one in found:
                if one.how == "open":
                    one.close("left", at)
    for kind in domain.journey_kinds:
        lapse(kind, until)
    return found


def _lives(domain: Domain, events: list[Any], shown: list[int], until: int) -> list[Plain]:
    """At each moment at which anything may happen: event, shown action, silence, leaving."""
    own, churn = domain.lifecycle, domain.churn
    silent = round((own.silent_days or (churn and churn.silent_days) or 28) * DAY)
    days = own.left_days or (churn and churn.active_days)
    keeps = churn.event if churn and domain.leaving_event is None else None
    moments = [(at, 0, name) for name, _, at, _ in events]
    moments += [(at, 1, "shown") for at in shown if own.shown and at <= until]
    found, life = list[Plain](), None
    is_silent, last_event, last_kept = False, 0, 0
    for at, what, name in [*sorted(moments, key=lambda one: one[:2]), (until + 1, 2, "")]:
        while life is not None:
            falls = last_event + silent if not is_silent else None
            leaves = last_kept + round(days * DAY) if days else None
            due = min(one for one in (falls, leaves, at) if one is not None)
            if due >= at:
                break
            life.steps.append((due, "silent" if due == falls else "left"))
            is_silent = True
            if due != falls:
                life.close("left", due)
                life = None
        if what == 2:
            break
        if life is None:
            life = Plain("lifecycle")
            found.append(life)
            is_silent, last_event, last_kept = False, at, at
        life.steps.append((at, name))
        if what == 0:
            is_silent, last_event = False, at
            last_kept = at if keeps in (None, name) else last_kept
            if name == domain.leaving_event:
                life.close("left", at)
                life = None
    return found
