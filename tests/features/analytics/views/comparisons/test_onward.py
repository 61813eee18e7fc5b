"""Tests the visits by which maps are compared: what is not known yet, and the sums."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from features.analytics.journey_data import JourneyData
from features.analytics.views.comparisons.onward import ComparisonDefinition, edge_sums, onward
from features.analytics.views.comparisons.share_differences import EdgeSums
from features.analytics.views.filters import JourneyFilter
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import journeys_of

BUYING = JourneyFilter(map="buying")
LOG = [
    ("a", "page", 0.0),
    ("a", "cart", 1.0),
    ("a", "done", 9.0),
    ("b", "page", 0.0),
    ("b", "cart", 5.0),
    ("c", "page", 18.0),
    ("c", "cart", 18.5),
]


def visits(data: JourneyData, within_days: float | None) -> dict[tuple[str, str, int], int]:
    relation = onward(data, BUYING, ComparisonDefinition(within_days=within_days))
    found = relation.counts(data, ["from", "to", "is_in_time"])
    return {
        (relation.told(data, "from", source), relation.told(data, "to", target), in_time): n
        for source, target, in_time, n in found
    }


def test_the_last_step_of_an_open_journey_is_no_visit() -> None:
    with journeys_of(small_shop(), LOG, 20.0) as data:
        assert visits(data, None) == {
            ("START", "page", 1): 3,
            ("page", "cart", 1): 3,
            ("cart", "done", 1): 1,
            ("done", "END", 1): 1,
        }


def test_within_days_takes_old_visits_and_quick_transitions() -> None:
    with journeys_of(small_shop(), LOG, 20.0) as data:
        assert visits(data, 3.0) == {
            ("START", "page", 1): 3,
            ("page", "cart", 1): 1,
            ("page", "cart", 0): 1,  # after 5 days; that of c is not 3 days old
            ("cart", "done", 0): 1,
            ("cart", "END", 0): 1,  # of b, which is open: it has not ended within 3 days
            ("done", "END", 1): 1,
        }


def test_the_end_of_the_days_belongs_to_them() -> None:
    log = [("a", "page", 0.0), ("a", "cart", 3.0), ("b", "page", 0.0), ("b", "cart", 3.5)]
    with journeys_of(small_shop(), log, 3.0) as data:  # both pages are 3 days old
        assert visits(data, 3.0) == {
            ("START", "page", 1): 2,
            ("page", "cart", 1): 1,
            ("page", "END", 0): 1,
        }
    with journeys_of(small_shop(), log, 7.0) as data:
        assert visits(data, 3.0) == {
            ("START", "page", 1): 2,
            ("page", "cart", 1): 1,
            ("page", "cart", 0): 1,
            ("cart", "END", 0): 2,
        }


def test_a_journey_that_lapses_at_the_end_of_the_days_has_ended_in_time() -> None:
    with journeys_of(small_shop(), [("a", "page", 0.0)], 31.0) as data:  # it lapsed on day 30
        assert visits(data, 30.0)["page", "END", 1] == 1
        assert visits(data, 29.5)["page", "END", 0] == 1


def test_sums_are_those_over_customers_one_by_one() -> None:
    random = np.random.default_rng(3)
    kinds = ["page", "cart", "coupon", "paid", "done"]
    log: list[tuple[Any, ...]] = []
    for place, day in enumerate(np.sort(random.uniform(0, 50, 400)).tolist()):
        log.append(
            (f"c{random.integers(12)}", kinds[random.integers(5)], day, ["app", "phone"][place % 2])
        )
    filters = [BUYING.model_copy(update={"entry_channel": (one,)}) for one in ("app", "phone")]
    with journeys_of(small_shop(), log, 50.0) as data:
        sides = [onward(data, one, ComparisonDefinition()) for one in filters]
        sources, targets, sums = edge_sums(data, sides[0], sides[1])
        x: list[dict[tuple[str, int, int], int]] = [defaultdict(int), defaultdict(int)]
        m: list[dict[tuple[str, int], int]] = [defaultdict(int), defaultdict(int)]
        for side, relation in enumerate(sides):
            for customer, source, target, n in relation.counts(data, ["customer_id", "from", "to"]):
                x[side][customer, source, target] += n
                m[side][customer, source] += n
    edges = list(zip(sources.tolist(), targets.tolist(), strict=True))
    names = [f"c{place}" for place in range(12)]
    arrays = [np.array([[float(one[c, s, t]) for s, t in edges] for c in names]) for one in x]
    arrays += [np.array([[float(one[c, s]) for s, _ in edges] for c in names]) for one in m]
    expected = EdgeSums.of_customers(*arrays)
    assert len(edges) > 20
    for name, values in vars(expected).items():
        assert getattr(sums, name).tolist() == values.tolist(), name
