"""Compares promises in the fold with a checker by brute force, on random traces."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf, isnan, nan
from typing import Any

import pytest

from features.business.domain import Domain
from features.journeys.fold import Fold
from tests.promise_oracle import Judged, OracleEvent, OracleJourney, cut, judge

HOUR_US = 3_600_000_000
START_US = 1_790_000_000_000_000
TRACES = 1_000  # of each business
PROMISING = range(10)  # businesses with promises
PLAIN = 10  # the number of one whose journeys need no memory
TEMPLATES = ("response", "precedence", "absence", "at_most", "never_again", "chain")
# Ties, times at which promises are due and journeys lapse to the microsecond, and others.
PAUSES_US = [0, 0, 1, HOUR_US, HOUR_US, 2 * HOUR_US, 2 * HOUR_US + 1, 3 * HOUR_US, 6 * HOUR_US]
LATER_US = [0, 1, HOUR_US - 1, HOUR_US, 2 * HOUR_US, 5 * HOUR_US + 1, 40 * HOUR_US]
STEPS = {"ask": "starts", "call": "moves", "answer": "moves", "close": "ends"}
WAYS = {"stage": "use", "touchpoint": "internal", "signal": "direct", "description": "x"}
PROPERTIES = {
    "ticket": {"type": "text", "remembered": False},
    "done": {"type": "category", "values": ["yes", "no"], "remembered": False},
    "promised_at": {"type": "number", "remembered": False},
}
NAMES = [*STEPS, "yes", "no"]


def _promises(rng: random.Random) -> dict[str, dict[str, Any]]:
    """One promise of each template, with steps and times by chance."""

    def time() -> dict[str, Any]:
        return {"within_hours": rng.choice([1, 2, 3])}

    def maybe() -> dict[str, Any]:
        return time() if rng.random() < 0.5 else {}

    first, second = rng.choice(NAMES), rng.choice(NAMES)
    told = {"within": {"property": "promised_at"}, "else_days": 1 / 12}
    before = {"at_least_hours": rng.choice([1, 2])} if rng.random() < 0.7 else {}
    most = {"no_more_than": rng.randint(0, 2), "of": rng.choice(NAMES)}
    return {
        "response": {"after": first, "comes": second, **(told if rng.random() < 0.4 else time())},
        "precedence": {"before": rng.choice(NAMES), "comes": rng.choice(NAMES), **before},
        "absence": {"never": rng.choice(NAMES), **maybe()},
        "at_most": most | maybe(),
        "never_again": {"never": rng.choice(NAMES), "after": rng.choice(NAMES), **time()},
        "chain": {"after": rng.choice(NAMES), "next": rng.choice(NAMES), **time()},
    }


def _business(number: int) -> Domain:
    rng = random.Random(number)
    versions = [
        {"version": 1, "since": "2026-01-01", "promises": _promises(rng)},
        # It begins within the traces, and has lost a promise.
        {"version": 2, "since": "2026-09-22", "promises": _promises(rng)},
    ]
    del versions[1]["promises"][rng.choice([*versions[1]["promises"]])]  # type: ignore[attr-defined]
    kind: dict[str, Any] = {"expected": versions, "map": {"node": "done"}}
    if number % 2:
        kind["case"] = "ticket"
    if number % 3:
        kind["lapse_days"] = 0.25
    if number % 5 < 3:
        kind["ends_when"] = "done == 'yes' and type != 'ask'"
    if number == PLAIN:
        del kind["expected"]
    told = {"journey": "help", "properties": PROPERTIES, **WAYS}
    return Domain.model_validate(
        {
            "name": "desk",
            "currency": "eur",
            "channels": ["web"],
            "half_lives_days": [7],
            "journeys": {"help": kind, "life": {"lapse_days": 0.25}},
            "events": {
                **{name: {"step": step, **told} for name, step in STEPS.items()},
                "met": {"journey": "life", **WAYS},
                "gone": {"journey": "life", **WAYS},
            },
            "churn": {"event": "gone", "when": "happens"},
        }
    )


Sent = tuple[str, int, dict[str, Any]]


def _trace(rng: random.Random) -> list[Sent]:
    """Events in order: type, time, properties."""
    at_us = START_US + rng.randrange(48) * HOUR_US
    trace: list[Sent] = []
    for _ in range(rng.randint(1, 7)):
        at_us += rng.choice(PAUSES_US)
        event_type = rng.choices([*STEPS, "met", "gone"], [4, 4, 4, 2, 2, 1])[0]
        properties: dict[str, Any] = {}
        if event_type in STEPS:
            if rng.random() < 0.8:
                properties["ticket"] = rng.choice(["t1", "t2"])
            if rng.random() < 0.5:
                properties["done"] = rng.choice(["yes", "no"])
            if rng.random() < 0.6:
                properties["promised_at"] = at_us / 1e6 + rng.choice([-3600.0, 0.0, 7200.0])
        trace.append((event_type, at_us, properties))
    return trace


def _as_oracle(domain: Domain, event: Sent) -> OracleEvent:
    event_type, at_us, properties = event
    if event_type not in STEPS:
        leaves = event_type == "gone"
        return OracleEvent(at_us, "life", "moves", frozenset({event_type}), None, leaves)
    kind, done = domain.journeys["help"], properties.get("done")
    ends = kind.ends_when is not None and done == "yes" and event_type != "ask"
    return OracleEvent(
        at_us,
        "help",
        "ends" if ends else STEPS[event_type],  # type: ignore[arg-type]
        frozenset({event_type, done or event_type}),
        properties.get("ticket") if kind.case else None,
        False,
        properties,
    )


def _expected(domain: Domain, journeys: list[OracleJourney], at_us: int) -> dict[str, float]:
    """The features that follow from the definitions."""
    found: dict[str, list[Judged]] = {}
    for journey in journeys:
        version = domain.journeys[journey.kind].expected_at(journey.steps[0].at_us)
        for name, promise in (version.promises if version else {}).items():
            judged = judge(promise, journey.steps, journey.close_us, at_us)
            found.setdefault(name, []).extend(judged)
    features: dict[str, float] = {}
    for name in TEMPLATES if domain.journeys["help"].expected else ():
        own = found.get(name, [])
        waiting = [one for one in own if one.state == "open"]
        due_us = min((one.due_us for one in waiting if one.due_us is not None), default=inf)
        features[f"promise_{name}_open"] = len(waiting)
        left_us = nan if due_us == inf else due_us - at_us
        features[f"promise_{name}_hours_left"] = left_us / HOUR_US
        features[f"promise_{name}_broken_n"] = sum(one.state == "broken" for one in own)
    for kind in ("help", "life"):
        still = [one.steps[0].at_us for one in journeys if (one.kind, one.how) == (kind, "open")]
        features[f"journey_{kind}_open"] = len(still)
        features[f"journey_{kind}_age_days"] = (at_us - min(still)) / HOUR_US / 24 if still else nan
    features["open_journeys"] = sum(one.how == "open" for one in journeys)
    return features


def _moments(fold: Fold, trace: list[Sent], rng: random.Random) -> Iterator[tuple[int, int, Any]]:
    """After each event some moments, each with the features of the fold."""
    state = fold.empty()
    for number, (event_type, at_us, properties) in enumerate(trace, start=1):
        state = fold.advance(state, event_type, "web", at_us / 1e6, properties)
        kept = fold.unpack(fold.pack(state))
        assert kept is not None
        for moment in (at_us, at_us + rng.choice(LATER_US)):
            features = fold.read(kept, moment / 1e6)
            yield number, moment, dict(zip(fold.feature_names, features, strict=True))


@pytest.mark.parametrize("number", [*PROMISING, PLAIN])
def test_features_equal_those_by_brute_force_at_every_prefix(number: int) -> None:
    domain, rng = _business(number), random.Random(100 + number)
    fold, seen = Fold(domain), set[str]()
    lapses = {
        name: None if kind.lapse_days is None else round(kind.lapse_days * 24 * HOUR_US)
        for name, kind in domain.journey_kinds.items()
    }
    for _ in range(TRACES):
        trace = _trace(rng)
        events = [_as_oracle(domain, event) for event in trace]
        for prefix, at_us, features in _moments(fold, trace, rng):
            expected = _expected(domain, cut(events[:prefix], lapses, at_us), at_us)
            read = {name: features[name] for name in expected}
            assert _alike(read, expected), (trace[:prefix], at_us, read, expected)
            seen |= {name for name, value in expected.items() if value > 0}
    # Of all 23, two are never above 0.
    assert len(seen) > 15 if number in PROMISING else seen == {*expected}


def _alike(read: dict[str, float], expected: dict[str, float]) -> bool:
    return all(
        abs(read[name] - value) < 1e-6 if not isnan(value) else isnan(read[name])
        for name, value in expected.items()
    )
