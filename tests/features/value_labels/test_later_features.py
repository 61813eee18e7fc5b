"""Due decisions are found once, and the features of later are written with their position."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog import NO_ACTION
from features.ledger import tables
from features.value_labels import later_features
from features.value_labels.customer_rows import CustomerRow
from features.value_labels.later_features import (
    due_decisions,
    look_position,
    pack_changes,
    with_changes,
    write_looks,
)
from tests.conftest import NOW
from tests.decided import put_imported
from tests.features.value_labels.conftest import DAY, HOUR

BOTH = pytest.mark.databases("sqlite", "postgresql")
CHANCES = {"discount": 0.5, NO_ACTION: 0.5}
ACTIVATED = json.dumps({"activated": ["discount"]})


class Looks:
    """Finds due decisions of a ledger, and looks at their customers."""

    def __init__(self, followed):
        self.followed, self.layout = followed, followed.model_input.fingerprint

    def due(self, at, size=500):
        return self.followed.ledger.read(lambda c: due_decisions(c, self.layout, at, size))

    def write(self, due, seen, at):
        return self.followed.ledger.write_now(lambda c: write_looks(c, due, seen, self.layout, at))

    def look(self, at, size=500):
        """Look at all decisions that are due; the customer's first feature is 7 now."""
        due = self.due(at, size)
        row = np.zeros(len(self.followed.model_input.names))
        row[0] = 7.0
        assert self.write(
            due, {one.customer_id: CustomerRow(row, True) for one in due.decisions}, at
        )
        return [one.serial for one in due.decisions]

    def rows(self):
        later = tables.later_features
        query = sa.select(later).order_by(later.c.serial)
        return self.followed.ledger.read(lambda c: c.execute(query).all())


@pytest.fixture
def looks(followed):
    return Looks(followed)


def test_changed_features_are_packed_and_none_are_nothing():
    row = np.array([0.0, 1.0, np.nan, 3.0, np.nan])
    later = np.array([0.0, 2.5, np.nan, np.nan, 4.0])
    packed = pack_changes(row, later)
    assert len(packed) == 3 * (2 + 4) and pack_changes(row, row) == b""
    found = with_changes(np.array([row, row, row]), [packed, None, b""])
    assert np.array_equal(found, [later, np.full(5, np.nan), row], equal_nan=True)


def test_a_decision_is_looked_at_once_after_three_days(followed, looks):
    put_imported(followed.ledger, "imported", NOW - 500 * DAY)
    for number in range(3):
        followed.decide(f"d{number}", CHANCES, at=NOW + number * HOUR)
    assert looks.due(NOW + 3 * DAY - HOUR).decisions == []
    assert [looks.look(NOW + 3 * DAY + 2 * HOUR, size=2) for _ in range(2)] == [[2, 3], [4]]
    assert looks.due(NOW + 3 * DAY + 2 * HOUR).is_nothing
    found = looks.rows()
    assert [(row.serial, row.has_left) for row in found] == [(2, True), (3, True), (4, True)]
    assert found[0].looked_at == NOW + 3 * DAY + 2 * HOUR
    assert followed.ledger.read(look_position).looked == 3
    labelled = followed.labelled(NOW + 4 * DAY)
    assert labelled.later[:, 0].tolist() == [7.0] * 3 and labelled.gone_at_look.all()


@BOTH
def test_a_decision_that_was_shown_later_is_looked_at_three_days_after_that(followed, looks):
    followed.decide("waits", CHANCES, "discount", served=False, activated_at=None)
    for number, hours in ((2, 30), (3, 20)):
        shown = {"activated_at": NOW + hours * HOUR, "activation": ACTIVATED}
        followed.decide(f"d{number}", CHANCES, "discount", **shown)
    followed.decide("d4", CHANCES, "discount", at=NOW + 25 * HOUR)
    after = [looks.look(NOW + 3 * DAY + hours * HOUR) for hours in (10, 20, 25, 30, 40)]
    assert after == [[], [3], [4], [2], []]


def test_decisions_of_long_ago_are_passed_over(followed, looks, monkeypatch):
    monkeypatch.setattr(later_features, "SCANNED", 2)
    followed.decide("old", CHANCES, at=NOW - 11 * DAY)
    shown = {"activated_at": NOW - 11 * DAY, "activation": ACTIVATED}
    followed.decide("old too", CHANCES, "discount", at=NOW - 12 * DAY, **shown)
    followed.decide("other layout", CHANCES, at=NOW - 4 * DAY, layout="another")
    followed.decide("pruned", CHANCES, at=NOW - 4 * DAY, features=None)
    followed.decide("new", CHANCES, at=NOW - 4 * DAY)
    assert [looks.look(NOW) for _ in range(4)] == [[], [], [5], []]


@BOTH
def test_the_step_of_another_process_comes_first_and_who_moved_is_not_looked_at(followed, looks):
    for name in ("stays", "erased", "moved", "unread"):
        followed.decide(name, CHANCES, customer_id=name)
    due = looks.due(NOW + 3 * DAY)
    row = CustomerRow(np.zeros(len(followed.model_input.names)), False)
    seen = dict.fromkeys(("stays", "erased", "moved"), row)
    columns = tables.decisions.c

    def change(connection):
        connection.execute(sa.delete(tables.decisions).where(columns.decision_id == "erased"))
        moved = sa.update(tables.decisions).where(columns.decision_id == "moved")
        connection.execute(moved.values(customer_id="another"))

    followed.ledger.write_now(change)
    assert looks.write(due, seen, NOW)
    assert [row.serial for row in looks.rows()] == [1]
    assert not looks.write(due, seen, NOW)
    assert followed.ledger.read(look_position).looked == 1
