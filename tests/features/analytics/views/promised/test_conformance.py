from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from features.analytics.views.filters import How, JourneyFilter
from features.analytics.views.lists import Number
from features.analytics.views.promised.conformance import ConformanceView, conformance
from tests.features.analytics.views.promised_shop import Log, agrees, opened, random_log

DELIVERY = JourneyFilter(map="delivery")


def numbers_of(view: ConformanceView) -> list[Number]:
    return [
        *(view.journeys, view.conforming, view.on_the_way, view.deviating, view.other_deviations),
        *(one.n for one in view.deviations),
    ]


@pytest.mark.parametrize("limit", [0, 2, 100])
def test_its_numbers_add_up_and_are_as_long_as_their_lists(limit: int) -> None:
    log = random_log(np.random.default_rng(6), customers=60)
    with opened(log, 9.0) as data:
        views = conformance(data, DELIVERY, limit)
        assert len(views) == 2
        for view in views:
            assert all(agrees(data, number) for number in numbers_of(view))
            went = view.conforming.n + view.on_the_way.n + view.deviating.n
            assert went == view.journeys.n > 0
            told = sum(one.n.n for one in view.deviations)
            assert told + view.other_deviations.n == view.deviating.n
            assert len(view.deviations) == min(limit, view.distinct)
            counts = [one.n.n for one in view.deviations]
            assert counts == sorted(counts, reverse=True)


def test_the_parts_of_a_filter_sum_to_the_whole() -> None:
    log = random_log(np.random.default_rng(7), customers=60)
    with opened(log, 9.0) as data:
        whole = conformance(data, DELIVERY)
        parts = [
            conformance(data, JourneyFilter(map="delivery", how=(how,))) for how in get_args(How)
        ]

    for place, view in enumerate(whole):
        for name in ("journeys", "conforming", "on_the_way", "deviating"):
            some = [getattr(part[place], name).n for part in parts]
            assert sum(some) == getattr(view, name).n


def test_it_tells_the_share_and_the_most_frequent_deviations() -> None:
    log: Log = []
    for customer in range(5):
        log.append((f"good{customer}", "ordered", 0.0, "app", {}))
        log.append((f"good{customer}", "delivered", 0.5, "app", {}))
    for customer in range(3):
        log.append((f"bad{customer}", "ordered", 0.0, "app", {}))
        log.append((f"bad{customer}", "call", 0.5, "app", {}))
    log += [("first", "delivered", 0.0, "app", {}), ("open", "ordered", 0.5, "app", {})]
    with opened(log, 0.75) as data:
        first, second = conformance(data, DELIVERY)

    assert (first.journeys.n, first.conforming.n, first.on_the_way.n) == (10, 5, 1)
    assert (first.deviating.n, first.share) == (4, 5 / 9)
    assert (first.version, first.way) == (1, ("ordered", "late?", "delivered"))
    assert [
        (one.kind, one.expected, one.found, one.n.n, one.share) for one in first.deviations
    ] == [
        ("extra", "delivered", "call", 3, 0.75),
        ("skipped", "ordered", "delivered", 1, 0.25),
    ]
    assert (second.since, second.journeys.n, second.share, second.deviations) == (
        *("2023-11-16", 0, None),
        (),
    )


def test_maps_without_an_expected_way_have_no_conformance() -> None:
    with opened([], 1.0) as data:
        assert conformance(data, JourneyFilter()) == ()
        assert conformance(data, JourneyFilter(map="leaving")) == ()
