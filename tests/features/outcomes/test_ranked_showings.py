"""Tests the showings of decisions with several actions that are read, and what came of them."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from features.outcomes import ranked_showings
from features.outcomes.ranked_showings import days_read, read_ranked_showings
from tests.conftest import NOW
from tests.decided import decided
from tests.serving.fakes import changed

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BOTH = {"discount": 14, "call_back": 7}
AS_OF = NOW + 10 * DAY


class Shop:
    """Decisions and their outcomes, and what is read of them."""

    def __init__(self, ledger, catalog) -> None:
        self.ledger, self.catalog, self.told = ledger, catalog, 0

    def tell(self, decision_id, action_id, after=HOUR, outcome="accepted", **more) -> None:
        self.told += 1
        row = {"outcome_id": f"o{self.told}", "decision_id": decision_id, "action_id": action_id}
        row |= {"outcome": outcome, "occurred_at": NOW + after, "received_at": NOW + after}
        row |= {"learned": False} | more
        self.ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), row))

    def read(self, as_of=AS_OF) -> list[tuple]:
        def share_of(action_id, window_s, ages):
            return ages / window_s

        found = self.ledger.read(lambda c: read_ranked_showings(c, self.catalog, as_of, share_of))
        columns = (column.tolist() for column in found)
        return [*zip(*columns, strict=True)]


@pytest.fixture
def shop(ledger, toy_catalog) -> Shop:
    return Shop(ledger, toy_catalog)


def test_each_action_is_read_with_its_rank_and_what_was_believed_and_told(shop):
    believed = {"call_back": 0.3, "discount": 0.2}
    decided(shop.ledger, "d1", NOW, BOTH, channel="phone", believed=believed)
    decided(shop.ledger, "d2", NOW, {"discount": 14}, believed=believed)  # one action: not read
    shop.tell("d1", "call_back")
    shop.tell("d2", "discount")
    assert shop.read() == [
        ("phone", "discount", 1, 0.2, pytest.approx(10 / 14), 0.0),
        ("phone", "call_back", 2, 0.3, pytest.approx(10 / 7), 1.0),
    ]


def test_what_an_activation_withdrew_has_no_rank(shop):
    three = {"talk_plus": 14, **BOTH}
    for name, kept in (("d1", ["discount", "call_back"]), ("d2", ["call_back"])):
        decided(shop.ledger, name, NOW, three, activation=json.dumps({"activated": kept}))
    assert [one[1:3] for one in shop.read()] == [("discount", 1), ("call_back", 2)]


@pytest.mark.parametrize(
    ("told", "accepted"),
    [
        ([], [0.0, 0.0]),
        ([{"outcome": "rejected"}], [0.0, 0.0]),
        ([{"after": 8 * DAY}], [0.0, 0.0]),  # after the window of the call
        ([{"after": 7 * DAY}], [0.0, 1.0]),  # at its end
        ([{"received_at": AS_OF + HOUR}], [0.0, 0.0]),
        ([{"after": HOUR}, {"after": 2 * HOUR}], [0.0, 1.0]),
        ([{"after": HOUR}, {"retracts": "o1"}], [0.0, 1.0]),  # it was looked at nevertheless
        ([{"outcome": "rejected"}, {"retracts": "o1"}], [0.0, 0.0]),
        ([{"shared_id": "s"}], [0.0, 1.0]),
        ([{"shared_id": "s"}, {"shared_id": "s", "action_id": "discount"}], [1.0, 0.0]),
        ([{"shared_id": "s"}, {"shared_id": "t", "action_id": "discount"}], [1.0, 1.0]),
    ],
)
def test_an_acceptance_within_the_window_counts_once_and_a_shared_one_by_rank(shop, told, accepted):
    decided(shop.ledger, "d1", NOW, BOTH)
    for fields in told:
        shop.tell("d1", **{"action_id": "call_back"} | fields)
    assert [one[-1] for one in shop.read()] == accepted


def test_a_decision_whose_beliefs_are_damaged_is_left_out(shop):
    decided(shop.ledger, "d1", NOW, BOTH)
    decided(shop.ledger, "d2", NOW, {"talk_plus": 14, **BOTH})
    damaged = sa.update(tables.decisions).where(tables.decisions.c.decision_id == "d2")
    shop.ledger.write_now(lambda c: c.execute(damaged.values(believed=b"\x02damaged")))
    assert [one[1] for one in shop.read()] == ["discount", "call_back"]


def test_of_several_acceptances_of_a_showing_the_largest_counts(shop):
    worth = {"accepted": 1.0, "clicked": 0.25}
    outcomes = {name: {"acceptance": one} for name, one in worth.items()}
    shop.catalog = changed(shop.catalog, outcomes=outcomes)
    decided(shop.ledger, "d1", NOW, BOTH)
    decided(shop.ledger, "d2", NOW, BOTH)
    for outcome in ("accepted", "clicked"):
        shop.tell("d1", "discount", outcome=outcome)
    for outcome in ("clicked", "accepted"):
        shop.tell("d1", "call_back", outcome=outcome)
    shop.tell("d2", "discount", outcome="clicked")
    assert [one[-1] for one in shop.read()] == [1.0, 1.0, 0.25, 0.0]


def test_what_was_shown_later_or_long_before_is_not_read(shop):
    old = (("old", NOW - 21 * DAY), ("at the end", NOW - 20 * DAY))
    for name, at in (*old, ("d1", NOW), ("late", AS_OF + HOUR)):
        decided(shop.ledger, name, at, BOTH)
    assert len(shop.read()) == 2  # 30 days are read
    assert days_read(shop.catalog) == 30
    actions = shop.catalog.model_dump(by_alias=True)["actions"]
    actions["discount"]["attribution_days"] = 20
    assert days_read(changed(shop.catalog, actions=actions)) == 40


def test_many_decisions_are_thinned_evenly(shop, monkeypatch):
    for number in range(12):
        decided(shop.ledger, f"d{number}", NOW + number * HOUR, BOTH)
        shop.tell(f"d{number}", "discount", number * HOUR)
    monkeypatch.setattr(ranked_showings, "MOST_DECISIONS", 4)
    shares = [one[4] for one in shop.read() if one[2] == 1]
    assert len(shares) == 4 and np.diff(shares) == pytest.approx([-3 / 24 / 14] * 3)
    assert [one[-1] for one in shop.read()] == [1.0, 0.0] * 4
    for number in range(9):
        arm = ("control", "random", "nobody")[number % 3]
        decided(shop.ledger, f"c{number}", NOW, {"discount": 14, "talk_plus": 14}, arm=arm)
    assert [one[1] for one in shop.read()].count("talk_plus") == 9  # few are all read
