from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from features.analytics.journey_data import JourneyData
from features.analytics.promises.read_steps import KindSteps
from features.analytics.promises.step_arrays import NEVER, NO_TIME
from features.analytics.views.filters import JourneyFilter
from tests.features.analytics.views.promised_shop import SHOP, Log, opened, random_log
from tests.journey_logs import at_us

DELIVERY = JourneyFilter(map="delivery")
LOG: Log = [
    ("c1", "ordered", 0.0, "app", {"order": "A", "promised_at": "2023-11-20T00:00:00Z"}),
    ("c1", "message", 1.0, "app", {"order": "A", "news": "late"}),
    ("c1", "call", 1.5, "app", {"order": "B"}),
    ("c1", "delivered", 2.0, "app", {"order": "A"}),
    ("c1", "gone", 9.0, "app", {}),
]


def test_it_reads_steps_and_ends_of_one_kind() -> None:
    with opened(LOG, 5.0) as data:
        steps = KindSteps(data, DELIVERY, ["on_time"])
        nodes = [data.nodes.label(code) for code in steps.node]

    assert nodes == ["ordered", "late", "delivered", "call"]
    assert steps.arrays.first.tolist() == [0, 3, 4]
    assert steps.arrays.journey.tolist() == [0, 0, 0, 1]
    assert steps.arrays.at_us.tolist() == [at_us(days) for days in (0.0, 1.0, 2.0, 1.5)]
    assert steps.arrays.close_us.tolist() == [at_us(2.0), NEVER]
    told = steps.told_us("on_time")
    assert told is not None
    assert told.tolist() == [1_700_438_400_000_000, NO_TIME, NO_TIME, NO_TIME]
    assert steps.told_us("quiet") is None


def test_it_reads_channels_if_they_are_asked_for() -> None:
    log: Log = [("c1", kind, days, "app", {}) for kind, days in (("ordered", 0.0), ("call", 1.0))]
    with opened(log, 5.0) as data:
        assert KindSteps(data, DELIVERY, with_channel=True).channel.tolist() == [0, 0]
        assert KindSteps(data, DELIVERY).channel.tolist() == []


def test_it_reads_the_journeys_of_a_filter() -> None:
    with opened(LOG, 5.0) as data:
        steps = KindSteps(data, JourneyFilter(map="delivery", how=("open",)))

    assert steps.arrays.at_us.tolist() == [at_us(1.5)]
    assert steps.arrays.close_us.tolist() == [NEVER]


def test_a_step_is_named_by_its_type_or_its_node() -> None:
    with opened(LOG, 5.0) as data:
        steps = KindSteps(data, DELIVERY)

    assert steps.places("message").tolist() == [1]
    assert steps.places("late").tolist() == [1]
    assert steps.places("call").tolist() == [3]
    assert steps.places("gone").tolist() == []
    names, classes = steps.classes(["late", "message", "call", "shipped"])
    assert [names[number] for number in classes] == [
        frozenset(),
        frozenset(("late", "message")),
        frozenset(),
        frozenset(("call",)),
    ]


def shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return table.take(pa.array(rng.permutation(len(table))))


def test_the_order_of_the_rows_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    with opened(random_log(rng, customers=20), 12.0) as data:
        expected = KindSteps(data, DELIVERY, ["on_time"])
        ordered = [data.table(f"SELECT * FROM {name}") for name in ("journeys", "steps")]
        tables = [shuffled(table, rng) for table in ordered]
        with JourneyData.of_tables(SHOP, *tables, data.as_of_us) as mixed:
            found = KindSteps(mixed, DELIVERY, ["on_time"])

    assert by_number(found) == by_number(expected)
    assert found.numbers.tolist() != expected.numbers.tolist()


def by_number(steps: KindSteps) -> dict[int, tuple[Any, ...]]:
    """Return what was read of each journey, by its number."""
    told = steps.told_us("on_time")
    assert told is not None
    arrays, columns = steps.arrays, (steps.arrays.at_us, steps.node, steps.type, told)
    found = {}
    for row, number in enumerate(steps.numbers.tolist()):
        own = slice(*arrays.first[row : row + 2])
        assert set(arrays.journey[own].tolist()) == {row}
        found[number] = (arrays.close_us[row], *(column[own].tolist() for column in columns))
    return found


def test_no_journeys_are_no_steps() -> None:
    with opened([], 1.0) as data:
        steps = KindSteps(data, DELIVERY, ["on_time"])

    assert (steps.arrays.first.tolist(), steps.numbers.tolist()) == ([0], [])
    assert steps.classes(["late"])[1].tolist() == []
