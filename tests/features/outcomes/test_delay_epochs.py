"""Tests the delays as of epochs: the outcomes that they are of, unchanged by later ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.ledger import tables
from features.outcomes import delay_epochs
from features.outcomes.credit_rules import ShownAction
from features.outcomes.delay_epochs import SETTLE, ResponseDelays, newest_epoch, shares_unseen
from features.outcomes.response_delays import POOLED_DELAYS, DelayCurve, Delays
from features.outcomes.silence import MIDDLES, SilentInterval, silent_interval
from tests.decided import decided, put_imported

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
DAYS = 14.0  # the window of the discount


class Shop:
    """A ledger of shown discounts, and what was told of them."""

    def __init__(self, ledger, catalog: Catalog) -> None:
        self.ledger, self.catalog, self.told = ledger, catalog, 0

    def show(self, decision_id: str, at: datetime, action: str = "discount", days=DAYS) -> None:
        decided(self.ledger, decision_id, at, {action: days})

    def tell(self, decision_id: str, at: datetime, outcome: str = "accepted", **more) -> None:
        row = self._outcome(decision_id, at, outcome) | more
        self.ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), row))

    def _outcome(self, decision_id: str, at: datetime, outcome: str = "accepted") -> dict:
        self.told += 1
        return {
            "outcome_id": f"o{self.told}",
            "decision_id": decision_id,
            "action_id": "discount",
            "outcome": outcome,
            "occurred_at": at,
            "received_at": at,
            "learned": True,
        }

    def show_at_once(self, days: np.ndarray, delays: np.ndarray, now: datetime) -> None:
        """Show discounts so many days after NOW; each is accepted after its delay, in days."""
        self.show("d0", NOW + float(days[0]) * DAY)
        table = tables.decisions
        first = self.ledger.read(lambda c: dict(c.execute(table.select()).one()._mapping))
        del first["serial"]
        decisions, outcomes = [], []
        for number, (day, delay) in enumerate(zip(days.tolist(), delays.tolist(), strict=True)):
            at, name = NOW + day * DAY, f"d{number}"
            times = {"decided_at": at, "activated_at": at, "window_ends_at": at + DAYS * DAY}
            decisions.append(first | times | {"decision_id": name})
            if at + delay * DAY <= now:
                outcomes.append(self._outcome(name, at + delay * DAY))
        self.ledger.write_now(lambda c: c.execute(table.insert(), decisions[1:]))
        self.ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), outcomes))

    def count(
        self, shown_at: datetime, now: datetime, delays=None, action="discount", days=DAYS
    ) -> float:
        shown = ShownAction("other", action, shown_at, shown_at + days * DAY)
        delays = delays or ResponseDelays(self.catalog)
        interval = silent_interval(shown, now)
        return self.ledger.read(lambda c: delays.silence_count(c, shown, interval))

    def mean_s(self, at: datetime) -> float:
        delays = ResponseDelays(self.catalog)
        return self.ledger.read(lambda c: delays.mean_delay_s(c, at))


@pytest.fixture
def shop(ledger, toy_catalog) -> Shop:
    return Shop(ledger, toy_catalog)


def half_at_once(shop: Shop, n: int = 60) -> None:
    """Of n discounts shown at NOW, half are accepted after an hour, half after 13 days."""
    for number in range(n):
        shop.show(f"d{number}", NOW)
        shop.tell(f"d{number}", NOW + (HOUR if number % 2 else 13 * DAY))


def test_epochs_grow_by_a_fifth_and_are_at_most_a_day_apart():
    at = [
        epoch.at - NOW
        for days in np.arange(0, 30, 0.01)
        if (epoch := newest_epoch(NOW, NOW + float(days) * DAY))
    ]
    different = sorted(set(at))
    steps = [second - first for first, second in pairwise(different)]
    assert max(steps) == DAY and steps[-10:] == [DAY] * 10
    assert newest_epoch(NOW, NOW + 10 * SECOND + SETTLE) == (0, NOW + 10 * SECOND)
    assert newest_epoch(NOW, NOW + 12 * SECOND + SETTLE) == (1, NOW + 12 * SECOND)
    assert newest_epoch(NOW, NOW + 9.9 * SECOND + SETTLE) is None


def test_the_number_of_an_epoch_tells_its_time():
    found = [newest_epoch(NOW, NOW + float(days) * DAY) for days in np.arange(0.01, 40, 0.1)]
    numbers = {(epoch.number, epoch.at) for epoch in found}
    assert len(numbers) == len({number for number, _ in numbers}) == len({at for _, at in numbers})
    assert [number for number, _ in sorted(numbers)][-10:] == list(
        range(max(numbers)[0] - 9, max(numbers)[0] + 1)
    )


def test_before_the_first_epoch_a_silence_counts_by_the_curve_without_delays(shop):
    unseen = shares_unseen(DAYS * DAY.total_seconds())
    assert unseen.tolist() == sorted(unseen) and 0.2 < unseen[0] < unseen[-1] < 1
    assert shop.count(NOW, NOW) == unseen[0]  # nothing was ever shown
    shop.show("d0", NOW)
    assert shop.count(NOW, NOW + 3 * DAY) == unseen[3]
    assert shop.count(NOW, NOW + 14 * DAY) == 1.0


def slots_of(shop: Shop, n: int = 200) -> None:
    """Of n decisions with two actions, half in either order, 40 % accept rank 1, 10 % rank 2."""
    for number in range(n):
        names = ("discount", "call_back") if number % 2 else ("call_back", "discount")
        decided(shop.ledger, f"s{number}", NOW, dict.fromkeys(names, DAYS))
        for rank, every in enumerate((5, 20)):
            if number // 2 % every < 2:
                shop.tell(f"s{number}", NOW + HOUR, action_id=names[rank])


def test_a_silence_at_a_lower_rank_counts_by_the_chance_that_it_was_looked_at(shop):
    slots_of(shop)
    delays, ended = ResponseDelays(shop.catalog), NOW + DAYS * DAY
    look = (1 + 20) / (1 + 80)  # 1 acceptance is the weight of the prior
    looks = shop.ledger.read(lambda c: delays.looks(c, ended))
    assert looks["app"][1] == pytest.approx(look, rel=0.1)

    def count(rank: int, believed: float, at=ended, channel: str = "app") -> float:
        shown = ShownAction("other", "discount", NOW, ended, rank)
        about = shown, silent_interval(shown, at), channel, believed
        return shop.ledger.read(lambda c: delays.silence_count(c, *about))

    exact = looks["app"][1]
    assert count(1, 0.4) == count(3, 0.4) == 1.0
    assert count(2, 0.4) == pytest.approx(exact * 0.6 / (1 - exact * 0.4))
    assert count(2, float("nan")) == count(2, 0.0) == pytest.approx(exact)
    assert count(2, 0.4, channel="web") == pytest.approx(count(2, 0.4), rel=0.01)
    before = shares_unseen(DAYS * DAY.total_seconds())[0]  # the first epoch: all are looked at
    assert count(2, 0.4, NOW) == before


def test_looks_are_those_of_an_epoch_whatever_comes_later(shop):
    slots_of(shop)
    at = NOW + 3 * DAY
    before = shop.ledger.read(lambda c: ResponseDelays(shop.catalog).looks(c, at))
    shop.tell("s0", at + HOUR, action_id="discount")
    decided(shop.ledger, "late", at + HOUR, {"discount": DAYS, "call_back": DAYS})
    assert shop.ledger.read(lambda c: ResponseDelays(shop.catalog).looks(c, at)) == before
    later = shop.ledger.read(lambda c: ResponseDelays(shop.catalog).looks(c, at + 2 * DAY))
    assert later != before


def test_where_no_decision_has_several_actions_nothing_is_known_of_ranks(shop):
    half_at_once(shop, n=4)
    assert shop.ledger.read(lambda c: ResponseDelays(shop.catalog).looks(c, NOW + DAY)) == {}


def test_before_the_first_epoch_the_first_showing_is_read_once_for_each_transaction(
    shop, monkeypatch
):
    read = []

    def counted(connection, key):
        read.append(key)

    monkeypatch.setattr(tables, "get_meta", counted)
    for number in range(3):
        shop.show(f"d{number}", NOW + number * SECOND)
    delays, shown = ResponseDelays(shop.catalog), ShownAction("d2", "discount", NOW, NOW + DAY)
    interval = silent_interval(shown, NOW)

    def counts(connection):
        return [delays.silence_count(connection, shown, interval) for _ in range(5)]

    before = [shop.ledger.read(counts) for _ in range(2)]
    assert len(read) == 2
    assert before == [[shares_unseen(DAY.total_seconds())[interval.number]] * 5] * 2


def test_a_silence_counts_by_the_curve_as_of_the_beginning_of_its_interval(shop):
    half_at_once(shop)
    late = NOW + 20 * DAY
    assert shop.count(late, late) == 0.5  # in the middle of the first interval, after 2.6 hours
    assert shop.count(late, late + 13 * DAY) == 0.5
    assert shop.count(late, late + 14 * DAY) == 1.0
    # As of 7 days those of 13 days are not known yet: half of the window is complete.
    assert shop.count(NOW, NOW + 13 * DAY) > 0.5


def test_what_is_received_later_or_retracted_later_does_not_change_a_count(shop):
    half_at_once(shop)
    late = NOW + 14 * DAY
    before = shop.count(late, late)
    shop.tell("d1", late + HOUR, retracts="o2")
    for number in range(200, 260):
        shop.show(f"d{number}", late)
        shop.tell(f"d{number}", late + HOUR)
    assert shop.count(late, late) == before
    assert shop.count(late + 13.95 * DAY, late + 13.95 * DAY) == 0.75


def test_a_learner_that_comes_late_finds_the_same_counts(shop):
    half_at_once(shop)
    always = ResponseDelays(shop.catalog)
    for hours in range(0, 400, 7):
        at = NOW + hours * HOUR
        shown_at = max(NOW, at - 3 * DAY)
        assert shop.count(shown_at, at, always) == shop.count(shown_at, at)


def test_only_the_first_acceptance_of_what_was_served_is_a_delay(shop):
    for number in range(12):
        shop.show(f"d{number}", NOW)
        shop.tell(f"d{number}", NOW + HOUR, "rejected")
        shop.tell(f"d{number}", NOW + DAY)
        shop.tell(f"d{number}", NOW + 10 * DAY)
        shop.tell(f"d{number}", NOW + 2 * HOUR, retracts="never told")
    for number in range(100, 112):
        put_imported(shop.ledger, f"d{number}", NOW)
        shop.tell(f"d{number}", NOW + 12 * DAY)
    assert shop.mean_s(NOW + 20 * DAY) == pytest.approx(86_400.0)


def test_an_action_without_delays_of_its_own_uses_those_of_all(shop):
    half_at_once(shop)
    late = NOW + 20 * DAY
    assert shop.count(late, late, action="call_back") == 0.5
    # Those after 13 days are beyond a window of 7 days.
    assert shop.count(late, late, action="call_back", days=7.0) == 1.0


def test_what_was_shown_longer_ago_than_two_windows_does_not_count(shop):
    for number in range(120):
        at = NOW + (number >= 60) * 20 * DAY
        shop.show(f"d{number}", at)
        shop.tell(f"d{number}", at + (10 * DAY if number < 60 else HOUR))
    assert shop.count(NOW + 19 * DAY, NOW + 19 * DAY) == 0.0
    late = NOW + 40 * DAY
    assert shop.count(late, late) == 1.0


def exponential(n: int, mean_days: float = 3.0) -> np.ndarray:
    """Delays in days, exponential within the window, spread evenly over the quantiles."""
    quantiles = np.arange(1, n + 1) * ((np.sqrt(5) - 1) / 2) % 1.0
    return -mean_days * np.log1p(quantiles * np.expm1(-DAYS / mean_days))


def test_the_curve_is_right_although_the_traffic_grows(shop):
    """150 discounts a day for 37 days, then 1,500 a day for 3 days; all are accepted at last."""
    days = np.concatenate([np.arange(37 * 150) / 150, 37 + np.arange(3 * 1_500) / 1_500])
    delays, now = exponential(len(days)), NOW + 40 * DAY
    shop.show_at_once(days, delays, now)
    truth = np.expm1(-np.array(MIDDLES) * DAYS / 3.0) / np.expm1(-DAYS / 3.0)
    late = NOW + 40 * DAY + 2 * SETTLE
    read = ResponseDelays(shop.catalog)
    epoch = newest_epoch(NOW, late)
    known = days + delays <= (epoch.at - NOW) / DAY
    assert known.sum() > 2 * delay_epochs.MOST
    shown = ShownAction("other", "discount", late, late + DAYS * DAY)
    intervals = [SilentInterval(number, late, late) for number in range(len(MIDDLES))]
    found = shop.ledger.read(lambda c: [read.silence_count(c, shown, one) for one in intervals])
    assert found == pytest.approx(truth, rel=0.1)
    # The newest received acceptances alone would give another curve.
    newest = np.argsort(days[known] + delays[known])[-delay_epochs.MOST :]
    limits = (epoch.at - NOW) / DAY - days[known][newest]
    alone = DelayCurve.fit(Delays(delays[known][newest], limits), DAYS)
    assert np.abs(alone.share(np.array(MIDDLES) * DAYS) / truth - 1).max() > 0.2


def test_the_mean_delay_is_unknown_while_there_are_too_few_acceptances(shop):
    assert shop.mean_s(NOW) is None  # nothing was ever shown
    for number in range(100, 100 + POOLED_DELAYS - 1):
        shop.show(f"d{number}", NOW)
        shop.tell(f"d{number}", NOW + HOUR)
    assert shop.mean_s(NOW + 3 * DAY) is None
    shop.show("d107", NOW)
    shop.tell("d107", NOW + HOUR)
    assert shop.mean_s(NOW + 3 * DAY) == pytest.approx(3_600, rel=1e-4)


def test_the_mean_delay_is_that_of_the_first_acceptances(shop):
    half_at_once(shop)
    assert shop.mean_s(NOW + 20 * DAY) == pytest.approx((3_600 + 13 * 86_400) / 2)


def test_the_origin_of_the_epochs_stays_when_its_decision_is_forgotten(shop):
    half_at_once(shop)
    shop.show("early", NOW - DAY)
    late, delays = NOW + 20 * DAY, ResponseDelays(shop.catalog)
    before = shop.count(late, late, delays)
    shop.ledger.write_now(delays.keep_first_shown)
    mine = tables.decisions.c.decision_id == "early"
    shop.ledger.write_now(lambda c: c.execute(tables.decisions.delete().where(mine)))
    assert shop.count(late, late) == before
    kept = shop.ledger.read(lambda c: tables.get_meta(c, delay_epochs.FIRST_SHOWN))
    assert tables.from_micros(int(kept)) == NOW - DAY
