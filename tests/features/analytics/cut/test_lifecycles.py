"""Silences and leaving come in time, once after each event."""

from __future__ import annotations

from features.analytics.tables import NO_CHANNEL
from tests.features.analytics.views.small_shop import small_shop
from tests.journey_logs import at_us, journeys_of

QUIET = small_shop(churn=None, lifecycle={"silent_days": 5, "left_days": 12})


def life(domain, log, as_of, shown=()):
    """The steps of the lifecycles of one customer, and how each ended."""
    data = journeys_of(domain, log, as_of, {"c": shown} if shown else None)
    with data:
        code = data.nodes.map_code("lifecycle")
        steps = data.rows(
            "SELECT journey & 1048575, at_us, node FROM steps WHERE map = ? ORDER BY 1, seq", [code]
        )
        ends = data.rows(
            "SELECT how, end_us, due_us FROM journeys WHERE map = ? ORDER BY start_us", [code]
        )
        first = min((row[0] for row in steps), default=0)
        return [(one - first, at, data.nodes.label(node)) for one, at, node in steps], ends


def test_a_customer_falls_silent_once_then_leaves_and_may_come_back():
    log = [("c", "page", 0), ("c", "page", 20), ("c", "cart", 24)]
    steps, ends = life(QUIET, log, 30)
    first = [(at_us(0), "page"), (at_us(5), "silent"), (at_us(12), "left")]
    second = [(at_us(20), "page"), (at_us(24), "cart"), (at_us(29), "silent")]
    assert [(at, label) for _, at, label in steps] == first + second
    assert ends == [(1, at_us(12), None), (3, None, at_us(36))]


def test_a_moment_is_due_from_its_time_on():
    steps, _ = life(QUIET, [("c", "page", 0)], 5)
    assert [label for _, _, label in steps] == ["page", "silent"]
    assert len(life(QUIET, [("c", "page", 0)], 4.999)[0]) == 1


def test_an_event_at_the_time_of_the_silence_prevents_it():
    steps, _ = life(QUIET, [("c", "page", 0), ("c", "page", 5)], 6)
    assert [label for _, _, label in steps] == ["page", "page"]


def test_a_shown_action_neither_breaks_a_silence_nor_keeps_the_customer():
    steps, ends = life(QUIET, [("c", "page", 0)], 13, [(4, "app"), (5, "app"), (6, "app")])
    assert [label for _, _, label in steps] == [
        *("page", "shown", "shown", "silent", "shown", "left"),
    ]
    assert ends == [(1, at_us(12), None)]


def test_a_shown_action_alone_begins_a_lifecycle():
    steps, ends = life(QUIET, [], 3, [(1, "app")])
    assert [(at, label) for _, at, label in steps] == [(at_us(1), "shown")]
    assert ends == [(3, None, at_us(6))]


def test_the_leaving_event_is_the_last_step():
    domain = small_shop(lifecycle={"silent_days": 5})
    steps, ends = life(domain, [("c", "page", 0), ("c", "gone", 1), ("c", "page", 1)], 3)
    assert [label for _, _, label in steps] == ["page", "gone", "page"]
    assert ends == [(1, at_us(1), None), (3, None, at_us(6))]


def test_a_shown_action_has_its_channel_if_the_business_still_has_it():
    with journeys_of(QUIET, [], 3, {"c": [(1, "app"), (2, "fax")]}) as data:
        found = data.rows("SELECT channel FROM steps ORDER BY seq")
        assert found == [(data.nodes.channels.index("app"),), (NO_CHANNEL,)]
