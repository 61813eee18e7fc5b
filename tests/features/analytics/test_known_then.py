"""The journeys of a past day come back, whatever came in since, but for erased customers."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from features.analytics.build import build_journeys
from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import pairs_in
from features.analytics.known_then import build_known_then
from features.analytics.views.filters import JourneyFilter
from features.analytics.views.funnels.funnel_definition import stages_funnel
from features.analytics.views.funnels.funnels import funnel
from features.analytics.views.maps.journey_map import journey_map
from features.analytics.views.maps.ways import ways
from features.analytics.views.promised.promises import promises
from features.ingest.erasure import Erasure
from features.ledger import tables
from features.ledger.tables import micros
from tests.features.analytics.test_build import shown
from tests.features.erasing import Clock, Store
from tests.features.live import DAY, NOW, SHOP, InMemoryOnlineStore, add, event, live

pytestmark = pytest.mark.databases("sqlite", "postgresql")

MOMENT = NOW - 10 * DAY  # the past day
NAMES = [f"c{number}" for number in range(8)]


class Shop:
    """A shop to which events and links come in the course of time."""

    def __init__(self, ledger, seed=0):
        self.ledger, self.draw = ledger, random.Random(seed)
        self.worker, self.numbers = live(ledger, InMemoryOnlineStore()), iter(range(10_000))

    def take(self, now, *keys, at=None, kind="view", **more):
        sent = event(f"{next(self.numbers):04}", *keys, at=at or now, kind=kind, **more)
        return asyncio.run(self.worker.ingest([sent], now)).accepted

    def browse(self, now, *keys, times=3):
        """Send events of the days before a moment."""
        for _ in range(times):
            at = now - timedelta(minutes=self.draw.randrange(60 * 24 * 30))
            self.take(now, *keys, at=at, kind=self.draw.choice(["view", "view", "complaint"]))

    def link(self, now, *keys):
        asyncio.run(self.worker.link(keys, "they said so", now))

    def unlink(self, now, *keys):
        asyncio.run(self.worker.unlink(keys, "a mistake", now))


def day_by_day(shop):
    """Let things happen until the moment: links, devices, and shown actions among them."""
    begin = MOMENT - 5 * DAY
    for name in NAMES:
        shop.browse(begin, name, times=4)
    shop.browse(begin, "cookie:a", times=5)
    shop.browse(begin, "cookie:b", times=5)
    shop.take(begin, "c0", "cookie:a", at=begin - 9 * DAY)
    shop.link(begin, "c1", "email:one@shop.test")
    shop.browse(begin, "email:one@shop.test")
    shop.link(begin + DAY, "c2", "c3")
    shop.link(begin + DAY, "c4", "cookie:b")
    rows = [shown(f"d{name}", name, days=12) for name in NAMES]
    rows[3]["customer_id"] = "c2"  # who c3 is since the link
    add(shop.ledger, tables.contacts, *rows)
    shop.take(MOMENT - DAY, "c5", kind="order", amount_eur=5, size="small")


def afterwards(shop):
    """Change the past of nearly everybody after the moment."""
    later = MOMENT + DAY
    for name in (*NAMES, "cookie:a", "email:one@shop.test"):
        shop.browse(later, name, times=2)  # some of them happened before the moment
    shop.unlink(later, "c2", "c3")
    shop.link(later, "c0", "c6")
    shop.unlink(later, "c1", "email:one@shop.test")
    shop.link(later, "c5", "email:one@shop.test")
    shop.unlink(later, "cookie:b", "c4")
    # Late: c7 had the device of c0 for some days.
    shop.take(later, "c7", "cookie:a", at=MOMENT - 20 * DAY)
    shop.take(later, "c3", "cookie:a", at=MOMENT - 8 * DAY)
    add(shop.ledger, tables.contacts, shown("later", "c1", days=8))


def views(folder, without=()):
    """The answers of all views of both maps, as of the moment."""
    with JourneyData.of_files(SHOP, pairs_in(folder), [], micros(MOMENT), 1) as whole:
        journeys, steps = (
            whole.table(
                f"SELECT * FROM {name} WHERE customer_id NOT IN (SELECT unnest(?))", [[*without]]
            )
            for name in ("journeys", "steps")
        )
    with JourneyData.of_tables(SHOP, journeys, steps, micros(MOMENT)) as data:
        counted = data.rows(
            "SELECT map, path, start_us, how, a_plan, account, preferred_channel, count(*)"
            " FROM journeys GROUP BY ALL ORDER BY ALL"
        )
        happened = data.rows(
            "SELECT map, seq, node, next_node, at_us, gap_bucket, channel, what, type, count(*)"
            " FROM steps GROUP BY ALL ORDER BY ALL"
        )
        answers = [
            (
                journey_map(data, wanted),
                ways(data, wanted, 100),
                funnel(data, wanted, stages_funnel(data, wanted.map)),
                promises(data, wanted),
            )
            for wanted in (JourneyFilter(map=name) for name in data.nodes.maps)
        ]
        return repr(answers), counted, happened


@pytest.mark.parametrize("seed", range(3))
def test_a_past_day_comes_back_after_late_events_merges_splits_and_late_logins(
    ledger, tmp_path, seed
):
    shop = Shop(ledger, seed)
    day_by_day(shop)
    build_journeys(ledger, SHOP, tmp_path / "then", MOMENT)
    afterwards(shop)
    build_journeys(ledger, SHOP, tmp_path / "now", MOMENT)
    known = build_known_then(ledger, SHOP, tmp_path / "known", MOMENT)
    assert views(tmp_path / "known") == views(tmp_path / "then") != views(tmp_path / "now")
    assert known.erased == 0


def test_erased_customers_are_missing_and_counted(ledger, tmp_path):
    shop = Shop(ledger)
    day_by_day(shop)
    build_journeys(ledger, SHOP, tmp_path / "then", MOMENT)
    afterwards(shop)
    Erasure(ledger, Store(), tmp_path, Clock()).forget(["c2"], NOW)
    known = build_known_then(ledger, SHOP, tmp_path / "known", MOMENT)
    assert known.erased == 1
    with JourneyData.of_files(SHOP, pairs_in(tmp_path / "known"), [], 0, 1) as data:
        assert "c2" not in {name for (name,) in data.rows("SELECT customer_id FROM journeys")}
    # Then c2 and c3 were one customer, so what c3 did is told apart from it now.
    assert views(tmp_path / "known", ["c3"]) == views(tmp_path / "then", ["c2"])
