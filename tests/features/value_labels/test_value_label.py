"""One label for every decision: margin less cost, and what stays if the customer stays."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import NO_ACTION
from features.ledger import tables
from features.value_labels.labelled_decisions import labelled_decisions
from features.value_labels.value_label import value_labels
from tests.conftest import NOW
from tests.features.erasing import make_erasure
from tests.features.value_labels.conftest import DAY, HOUR

CHANCES = {"discount": 0.5, NO_ACTION: 0.5}


def test_the_label_is_margin_less_cost_and_what_stays():
    made = labelled_decisions(
        ("mail",),
        np.zeros((3, 1)),
        ["mail", NO_ACTION, "mail"],
        np.full((3, 2), 0.5),
        margin=np.array([4.0, 4.0, 0.0]),
        cost=np.array([1.0, 0.0, 1.0]),
        remaining=np.array([100.0, 100.0, 10.0]),
        left_after_days=np.array([np.nan, 5.0, 0.0]),
    )
    assert value_labels(made).total.tolist() == [103.0, 4.0, -1.0]
    expected = value_labels(made, np.array([0.25, 0.5, 1.0]))
    assert expected.total.tolist() == [78.0, 54.0, -1.0]


@pytest.mark.databases("sqlite", "postgresql")
def test_a_label_is_provisional_at_once_revised_retracted_and_erased(followed, tmp_path):
    """An offer is labelled as none is. Who stays is worth 5.00, and an order brings 1.25."""
    followed.decide("offer", CHANCES, "discount")
    followed.decide("none", CHANCES, customer_id="c2")
    followed.decide("other", CHANCES, customer_id="c3")

    def totals(days):
        return value_labels(followed.labelled(NOW + days * DAY)).total.tolist()

    assert totals(0) == [4.5, 5.0, 5.0]
    for customer in ("c1", "c2"):
        followed.happen(f"order of {customer}", NOW + HOUR, customer=customer)
    assert totals(1) == [5.75, 6.25, 5.0]
    for customer in ("c1", "c2"):
        followed.happen(f"{customer} leaves", NOW + DAY, "visit", customer)
    assert totals(2) == [0.75, 1.25, 5.0]
    followed.happen("c2 is back", NOW + 2 * DAY, customer="c2")
    assert totals(2) == [0.75, 7.5, 5.0]
    make_erasure(followed.ledger, tmp_path).forget(["c2"], NOW + 2 * DAY)
    assert totals(3) == [0.75, 5.0]
    left = followed.labelled(NOW + 9 * DAY)
    assert left.left_after_days[0] == 1.0 and np.isnan(left.left_after_days[1])
    assert left.decided_us.tolist() == [tables.micros(NOW)] * 2
