"""Many customers are cut at once as each of them alone."""

from __future__ import annotations

import pyarrow as pa

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, pasts_of

SHOP = small_shop()
LOG = [
    *[("b", "page", day, "app", {"name": "home"}) for day in (0, 3, 50)],
    *[("d", "asked", 1), ("d", "solved", 2), ("d", "gone", 3)],
]


def test_customers_with_shown_actions_only_stand_in_their_place():
    pasts, cutter = pasts_of(SHOP, LOG), CustomerCutter(SHOP)
    shown = {name: [(at_us(1), "app")] for name in "ace"}
    events = [event for own in pasts.values() for event in own]
    whole = cutter.tables(CustomerPasts(events, shown, {}), at_us(60))
    assert list(dict.fromkeys(whole[0]["customer_id"].to_pylist())) == [*"abcde"]
    each = [
        cutter.tables(CustomerPasts(pasts.get(one, []), {one: shown.get(one, [])}, {}), at_us(60))
        for one in "abcde"
    ]
    for together, alone in zip(whole, zip(*each, strict=True), strict=True):
        assert pa.concat_tables(alone).to_pylist() == together.to_pylist()


def test_nobody_has_no_journeys():
    journeys, steps = CustomerCutter(SHOP).tables(CustomerPasts([], {}, {}), 0)
    assert (len(journeys), len(steps)) == (0, 0)


def test_customers_are_named_once():
    events = pasts_of(SHOP, LOG)["b"]
    assert CustomerPasts(events, {"z": []}, {}).customers == ["b", "z"]
