from __future__ import annotations

from collections import Counter
from itertools import groupby
from math import isnan
from typing import Any, get_args

import numpy as np
import pytest

from features.analytics.journey_data import JourneyData
from features.analytics.views.filters import How, JourneyFilter
from features.analytics.views.list_rows import list_count
from features.analytics.views.lists import Number
from features.analytics.views.promised.promises import PromiseView, promises
from features.journeys.fold import Fold
from tests.features.analytics.views.promised_shop import (
    MOMENTS,
    SHOP,
    Log,
    agrees,
    judged_by_hand,
    opened,
    random_log,
)
from tests.journey_logs import at_us

DELIVERY = JourneyFilter(map="delivery")
STATES = ("kept", "broken", "open", "void")


def numbers_of(view: PromiseView) -> dict[str, Number]:
    names = ("activations", *STATES, "late", "exceeded", "due_soon")
    return {name: getattr(view, name) for name in names if getattr(view, name) is not None}


def one(data: JourneyData, name: str, version: int = 1) -> PromiseView:
    return next(
        view for view in promises(data, DELIVERY) if (view.name, view.version) == (name, version)
    )


@pytest.mark.parametrize("as_of_days", MOMENTS[2::5])
def test_its_numbers_are_those_of_brute_force_and_as_long_as_their_lists(as_of_days: float) -> None:
    log = random_log(np.random.default_rng(1), customers=60)
    with opened(log, as_of_days) as data:
        views = promises(data, DELIVERY)
        for view in views:
            assert all(agrees(data, number) for number in numbers_of(view).values())

    expected = Counter(
        (name, version, judged.state)
        for _, name, version, judged in judged_by_hand(log, as_of_days)
    )
    found = {
        (view.name, view.version, state): getattr(view, state).n
        for view in views
        for state in STATES
    }
    assert +Counter(found) == expected
    for view in views:
        assert sum(getattr(view, state).n for state in STATES) == view.activations.n


def test_the_parts_of_a_filter_sum_to_the_whole_and_agree_with_their_lists() -> None:
    log = random_log(np.random.default_rng(2), customers=40)
    turn = np.datetime64(at_us(1.0), "us").item()
    with opened(log, 15.0) as data:
        whole = promises(data, DELIVERY)
        partitions: list[list[dict[str, Any]]] = [
            [{"how": (how,)} for how in get_args(How)],
            [{"since": f"{turn.isoformat()}Z"}, {"until": f"{turn.isoformat()}Z"}],
        ]
        for parts in partitions:
            told = [
                promises(data, JourneyFilter.model_validate({"map": "delivery", **part}))
                for part in parts
            ]
            for place, view in enumerate(whole):
                for name, number in numbers_of(view).items():
                    some: list[Number] = [getattr(views[place], name) for views in told]
                    assert sum(part.n for part in some) == number.n
                    assert all(part.n == list_count(data, part.rows) for part in some)
        assert any(view.broken.n for view in whole)


@pytest.mark.parametrize("as_of_days", MOMENTS)
def test_it_agrees_with_the_features_of_the_fold(as_of_days: float) -> None:
    log = random_log(np.random.default_rng(3), customers=60)
    fold, sums, least = Fold(SHOP), Counter[str](), dict[str, float]()
    for _, events in groupby(log, key=lambda row: row[0]):
        state = fold.empty()
        for _, kind, days, channel, properties in events:
            if days <= as_of_days:
                state = fold.advance(state, kind, channel, at_us(days) / 1e6, properties)
        features = dict(
            zip(fold.feature_names, fold.read(state, at_us(as_of_days) / 1e6), strict=True)
        )
        for name, value in features.items():
            if name.startswith("promise_") and not isnan(value):
                sums[name] += value
                least[name] = min(value, least.get(name, value))
    with opened(log, as_of_days) as data:
        views = promises(data, DELIVERY)

    for name in {view.name for view in views}:
        versions = [view for view in views if view.name == name]
        assert sums[f"promise_{name}_open"] == sum(view.open.n for view in versions)
        assert sums[f"promise_{name}_broken_n"] == sum(view.broken.n for view in versions)
        hours = [due.hours_left for view in versions for due in view.due]
        assert least.get(f"promise_{name}_hours_left") == (
            pytest.approx(min(hours)) if hours else None
        )


def test_it_tells_how_late_and_how_early_the_step_came() -> None:
    log: Log = []
    for customer, days in enumerate([0.25, 0.5, 0.75, 1.5, 2.0, 4.0]):  # due after one day
        log.append((f"c{customer}", "ordered", 0.0, "app", {}))
        log.append((f"c{customer}", "delivered", days, "app", {}))
    log.append(("c9", "ordered", 0.0, "app", {}))  # lapses after it was due; nothing came
    with opened(log, 100.0) as data:
        view = one(data, "on_time")

    assert (view.kept.n, view.broken.n, view.kept_share) == (3, 4, 3 / 7)
    assert (view.late.n, view.exceeded and view.exceeded.n) == (3, 2)
    # Half a day, one day and three days late; 18, 12 and 6 hours early; buckets are 4.4 % wide.
    assert view.late_median_s == pytest.approx(86_400, rel=0.022)
    assert view.late_p90_s == pytest.approx(3 * 86_400, rel=0.022)
    assert view.early_median_s == pytest.approx(12 * 3_600, rel=0.022)
    assert view.early_p90_s == pytest.approx(18 * 3_600, rel=0.022)


def test_the_next_ones_that_are_due_are_listed_first() -> None:
    log: Log = [("c1", "ordered", 1.0, "app", {}), ("c2", "ordered", 0.5, "app", {})]
    with opened(log, 1.25) as data:
        view = one(data, "on_time")
        shortened = promises(data, DELIVERY, due_rows=1)[0]

    due = [(one.customer_id, one.due_us, one.hours_left) for one in view.due]
    assert due == [("c2", at_us(1.5), 6.0), ("c1", at_us(2.0), 18.0)]
    assert shortened.due == view.due[:1]
    assert view.due_soon.n == 2


def test_nothing_decided_has_no_share_and_no_times() -> None:
    with opened([], 1.0) as data:
        view = one(data, "on_time")

    assert view.activations.n == 0
    assert (view.kept_share, view.late_median_s, view.early_p90_s, view.due) == (None,) * 3 + ((),)


def test_it_says_the_promise() -> None:
    with opened([], 1.0) as data:
        told = one(data, "told")
        quiet = one(data, "quiet", version=2)

    assert (told.journey, told.template, told.since) == ("delivery", "precedence", "1970-01-01")
    assert told.words == "shipped at least 12 hours before delivered"
    assert (quiet.since, quiet.exceeded) == ("2023-11-16", None)


def test_other_maps_have_no_promises() -> None:
    with opened([], 1.0) as data:
        assert promises(data, JourneyFilter()) == ()
        assert promises(data, JourneyFilter(map="leaving")) == ()
