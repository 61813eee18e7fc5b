"""Tests the delays of acceptances that are read; `test_delay_epochs` tests them as of epochs."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from features.ledger import tables
from features.outcomes.acceptance_delays import read_delays
from tests.conftest import NOW
from tests.decided import decided

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def read(ledger):
    """Ten discounts, one each hour; discount n is accepted n hours later, and once more after."""
    for number in range(10):
        at = NOW + number * HOUR
        decided(ledger, f"d{number}", at, {"discount": 14})
        rows = [
            {
                "outcome_id": f"o{number}-{more}",
                "decision_id": f"d{number}",
                "action_id": "discount",
                "outcome": "accepted",
                "occurred_at": at + (number + more) * HOUR,
                "received_at": at + (number + more) * HOUR,
                "learned": False,
            }
            for more in (0, 1)
        ]
        ledger.write_now(lambda c, rows=rows: c.execute(tables.outcomes.insert(), rows))

    def found(since, as_of, most=1_000, accepting=("accepted",)):
        return ledger.read(lambda c: read_delays(c, "discount", accepting, since, as_of, most))

    return found


def test_the_first_acceptance_of_each_showing_and_the_time_since_it_are_read(read):
    delays, limits = read(NOW - DAY, NOW + 9 * HOUR)
    assert np.sort(delays / 3600).tolist() == [0, 1, 2, 3, 4]  # discount 5 is accepted at hour 10
    assert np.sort(limits / 3600).tolist() == [5, 6, 7, 8, 9]


def test_what_was_shown_before_or_has_no_acceptance_is_not_read(read):
    assert len(read(NOW + 3 * HOUR, NOW + DAY).delays) == 6
    assert len(read(NOW - DAY, NOW + DAY, accepting=("bought",)).delays) == 0


def test_showings_are_thinned_evenly(read):
    delays, _ = read(NOW - DAY, NOW + 2 * DAY, most=10)  # of 20 acceptances, one of two showings
    assert len(delays) == 5 and set(np.diff(np.sort(delays / 3600))) == {2}
