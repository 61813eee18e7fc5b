"""The preferred channel is that of most events before the journey."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from features.analytics.cut.customer_cutter import CustomerCutter, CustomerPasts
from features.analytics.tables import NO_CHANNEL
from tests.features.analytics.views.small_shop import small_shop

SHOP = small_shop()
CUTTER = CustomerCutter(SHOP)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["asked", "solved", "cart", "done", "old"]),
        st.sampled_from(["app", "phone", "fax"]),
        st.integers(0, 8),
    ),
    max_size=16,
)


@settings(max_examples=100, deadline=None)
@given(events=EVENTS, shown=st.lists(st.integers(0, 8), max_size=2))
def test_it_is_counted_over_earlier_events_of_known_types_and_channels(events, shown):
    rows = sorted(
        ((who, name, where, at, "{}") for who, name, where, at in events),
        key=lambda row: (row[0], row[3]),
    )
    decided = {"a": [(at, "app") for at in sorted(shown)]} if shown else {}
    journeys, _ = CUTTER.tables(CustomerPasts(rows, decided, {}), 10)
    for one in journeys.to_pylist():
        before = Counter(
            where
            for who, name, where, at, _ in rows
            if (who, where in SHOP.channels, name in SHOP.events)
            == (one["customer_id"], True, True)
            and at < one["start_us"]
        )
        best = [name for name, n in before.items() if n == max(before.values())]
        expected = SHOP.channels.index(best[0]) if len(best) == 1 else NO_CHANNEL
        assert one["preferred_channel"] == expected
