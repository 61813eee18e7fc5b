from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from features.analytics.promises.expected_way import (
    CONFORMITIES,
    DEVIATIONS,
    NO_STEP,
    NOT_ANY,
    ExpectedWay,
    WayStep,
)
from features.analytics.promises.step_arrays import NEVER, JourneySteps

CLASSES = [frozenset(names) for names in ("", "a", "b", "c", "ab")]
END_US = 10_000
Told = tuple[str, str | None, str | None, int | None]


def way_of(text: str) -> list[WayStep]:
    return [WayStep(name[0], optional=name.endswith("?")) for name in text.split()]


def compared(way: list[WayStep], journeys: list[tuple[list[str], bool]]) -> list[Told]:
    """Compare journeys of steps such as ``ab``, which both names mean, at times 0, 1, 2 ..."""
    steps = [one for own, _ in journeys for one in own]
    first = np.cumsum([0, *(len(own) for own, _ in journeys)])
    arrays = JourneySteps(
        first=first,
        journey=np.repeat(np.arange(len(journeys), dtype=np.int32), np.diff(first)),
        at_us=np.arange(len(steps)),
        close_us=np.array([END_US if closed else NEVER for _, closed in journeys]),
    )
    classes = np.array([CLASSES.index(frozenset(one)) for one in steps])
    found = ExpectedWay(way, CLASSES).compare(arrays, classes, np.arange(len(journeys)))
    return [
        (
            CONFORMITIES[found.conformity[row]],
            None if found.deviation[row] == NOT_ANY else DEVIATIONS[found.deviation[row]],
            None if found.expected[row] == NOT_ANY else way[found.expected[row]].name,
            None if found.found[row] == NO_STEP else int(found.found[row] - first[row]),
        )
        for row in range(len(journeys))
    ]


@pytest.mark.parametrize(
    ("steps", "closed", "told"),
    [
        ("a b c", True, ("conforming", None, None, None)),
        ("a c", True, ("conforming", None, None, None)),
        ("a b c", False, ("on_the_way", None, None, None)),
        ("a", False, ("on_the_way", None, None, None)),
        ("a", True, ("deviating", "stopped", "c", None)),
        ("a b", True, ("deviating", "stopped", "c", None)),
        ("c", False, ("deviating", "skipped", "a", 0)),
        ("b c", True, ("deviating", "skipped", "a", 0)),
        ("a a c", True, ("deviating", "again", "c", 1)),
        ("a b b", True, ("deviating", "again", "c", 2)),
        ("a x c", True, ("deviating", "extra", "c", 1)),
        ("a b c x", True, ("deviating", "extra", None, 3)),
        ("a b c a", True, ("deviating", "again", None, 3)),
    ],
)
def test_it_tells_the_first_deviation_from_a_then_perhaps_b_then_c(
    steps: str, closed: bool, told: Told
) -> None:
    listed = [one.replace("x", "") for one in steps.split()]

    assert compared(way_of("a b? c"), [(listed, closed)]) == [told]


def test_an_optional_step_may_be_read_in_two_ways() -> None:
    # The first a may be the optional one, or the next one.
    found = compared(way_of("a? a"), [(["a"], True), (["a", "a"], True), (["a", "a", "a"], True)])

    assert found[:2] == [("conforming", None, None, None)] * 2
    assert found[2] == ("deviating", "again", None, 2)


def by_brute_force(way: list[WayStep], steps: list[str], closed: bool) -> Told:
    """Compare with each sequence of steps that the way allows."""
    required = [index for index, one in enumerate(way) if not one.optional]
    choices = [(True, False) if one.optional else (True,) for one in way]
    allowed = [
        [index for index, taken in enumerate(chosen) if taken] for chosen in product(*choices)
    ]
    furthest = 0
    for place in range(len(steps) + 1):
        begun = [
            one
            for one in allowed
            if len(one) >= place and all(way[one[at]].name in steps[at] for at in range(place))
        ]
        expected = next((way[at].name for at in required if at >= furthest), None)
        if not begun:
            came = steps[place - 1]
            later = any(one.name in came for one in way[furthest:])
            earlier = any(one.name in came for one in way[:furthest])
            kind = "skipped" if later else "again" if earlier else "extra"
            return ("deviating", kind, expected, place - 1)
        furthest = max((one[place - 1] + 1 for one in begun if place), default=0)
    if not closed:
        return ("on_the_way", None, None, None)
    if any(len(one) == len(steps) for one in begun):
        return ("conforming", None, None, None)
    expected = next((way[at].name for at in required if at >= furthest), None)
    return ("deviating", "stopped", expected, None)


def test_it_agrees_with_trying_all_that_the_way_allows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        length = int(rng.integers(1, 6))
        way = [WayStep(str(rng.choice(["a", "b", "c"])), rng.random() < 0.4) for _ in range(length)]
        journeys = [
            (
                [str(one) for one in rng.choice(["", "a", "b", "c", "ab"], rng.integers(1, 7))],
                bool(rng.random() < 0.7),
            )
            for _ in range(40)
        ]
        # Half of the journeys begin as the way does.
        names = [one.name for one in way]
        journeys += [(names, True), (names[:-1] or ["a"], True)]
        journeys += [([*names, *own], closed) for own, closed in journeys[:20]]

        assert compared(way, journeys) == [by_brute_force(way, *one) for one in journeys]
