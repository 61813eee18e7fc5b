from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from features.analytics.promises.activations import STATES, judge
from features.analytics.promises.step_arrays import NEVER, NO_TIME, JourneySteps
from features.business.journey_rules.promises import HOUR_US, Promise
from tests.promise_oracle import OracleStep, due
from tests.promise_oracle import judge as judge_by_brute_force

TIMES: list[dict[str, Any]] = [{"within_hours": hours} for hours in (1, 3, 6)]
TOLD: dict[str, Any] = {"within": {"property": "at"}, "else_days": 1 / 12}
PROMISES = {
    "response": [{"after": "a", "comes": b, **time} for b in "ab" for time in (*TIMES, TOLD)],
    "precedence": [
        {"before": "a", "comes": b, **time}
        for b in "ab"
        for time in ({}, {"at_least_hours": 1}, {"at_least_hours": 3})
    ],
    "absence": [{"never": "a", **time} for time in ({}, *TIMES)],
    "at_most": [{"no_more_than": n, "of": "a", **time} for n in (0, 1, 2) for time in ({}, *TIMES)],
    "never_again": [{"never": b, "after": "a", **time} for b in "ab" for time in TIMES],
    "chain": [{"after": "a", "next": b, **time} for b in "ab" for time in TIMES],
}
TRACES = 10_000


class Trace(NamedTuple):
    steps: list[OracleStep]
    close_us: int | None

    def as_of(self, at_us: int) -> tuple[list[OracleStep], int | None]:
        closed = self.close_us is not None and self.close_us <= at_us
        return [one for one in self.steps if one.at_us <= at_us], self.close_us if closed else None


def random_trace(rng: np.random.Generator) -> Trace:
    """Draw up to seven steps, often of one instant, some of which are both a and b."""
    times = 100 + np.cumsum(rng.choice([0, 1, 2, 5], int(rng.integers(1, 8))))
    names = rng.choice(["", "a", "b", "ab", "c"], len(times), p=[0.1, 0.3, 0.3, 0.15, 0.15])
    told = times + rng.choice([-1, 0, 1, 4], len(times))
    steps = [
        OracleStep(
            int(at) * HOUR_US,
            frozenset(name),
            {"at": int(at_told) * 3600} if rng.random() < 0.7 else {},
        )
        for at, name, at_told in zip(times, names, told, strict=True)
    ]
    if rng.random() < 0.3:
        return Trace(steps, None)
    return Trace(steps, (int(times[-1]) + int(rng.choice([0, 0, 1, 3]))) * HOUR_US)


def moments_of(trace: Trace, promise: Promise) -> list[int]:
    """List the times at, just before and just after which something can change."""
    turns = {one.at_us for one in trace.steps}
    if promise.time_us is not None:
        turns |= {at + promise.time_us for at in turns}
    if promise.within is not None:
        turns |= {due(promise, one) for one in trace.steps}
    if trace.close_us is not None:
        turns.add(trace.close_us)
    start_us = trace.steps[0].at_us
    return sorted({at + shift for at in turns for shift in (0, 1) if at >= start_us})


def judged(
    promise: Promise, journeys: list[tuple[list[OracleStep], int | None, int]]
) -> list[list[tuple[Any, ...]]]:
    """Judge all journeys at once, each as of its own moment: all times are told from it."""
    steps = [(row, one, at) for row, (own, _, at) in enumerate(journeys) for one in own]
    arrays = JourneySteps(
        first=np.cumsum([0, *(len(own) for own, _, _ in journeys)]),
        journey=np.array([row for row, _, _ in steps], np.int32),
        at_us=np.array([one.at_us - at for _, one, at in steps], np.int64),
        close_us=np.array(
            [NEVER if close is None else close - at for _, close, at in journeys], np.int64
        ),
    )
    places = {
        key: np.flatnonzero([name in one.names for _, one, _ in steps])
        for key, name in promise.steps.items()
    }
    told = [
        one.properties["at"] * 1_000_000 - at if one.properties else NO_TIME for _, one, at in steps
    ]
    told_us = np.array(told, np.int64) if promise.within else None
    found = judge(promise, arrays, places, np.ones(len(journeys), bool), 0, told_us)
    rows: list[list[tuple[Any, ...]]] = [[] for _ in journeys]
    columns = (found.activated_us, found.due_us, found.resolved_us, found.lateness_us)
    for row, state, activated, *times, lateness in zip(
        found.journey, found.state, *columns, strict=True
    ):
        at = journeys[row][2]
        told_times = [None if one == NO_TIME else int(one) + at for one in times]
        late = None if lateness == NO_TIME else int(lateness)
        rows[row].append((STATES[state], int(activated) + at, *told_times, late))
    return rows


@pytest.mark.parametrize("template", PROMISES)
def test_it_judges_random_traces_at_every_prefix_as_by_brute_force(template: str) -> None:
    rng = np.random.default_rng(16)
    promises = [Promise.model_validate(one) for one in PROMISES[template]]
    traces, seen = TRACES // len(PROMISES) // len(promises) + 1, set()
    for promise in promises:
        assert promise.template == template
        journeys = [
            (*trace.as_of(at_us), at_us)
            for trace in (random_trace(rng) for _ in range(traces))
            for at_us in moments_of(trace, promise)
        ]
        for (steps, close_us, at_us), found in zip(
            journeys, judged(promise, journeys), strict=True
        ):
            expected = [
                (one.state, one.activated_us, one.due_us, one.resolved_us, one.lateness_us)
                for one in judge_by_brute_force(promise, steps, close_us, at_us)
            ]
            assert found == expected, (promise, steps, close_us, at_us)
            seen |= {state for state, *_ in expected}
    void = {"void"} if template in ("response", "chain") else set()
    is_open = set() if template == "precedence" else {"open"}
    assert seen == {"kept", "broken"} | is_open | void
