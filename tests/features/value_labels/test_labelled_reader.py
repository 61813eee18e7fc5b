"""Labelled decisions are read from the ledger with all that followed by now."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog import NO_ACTION
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from features.value_labels.label_rules import LabelRules
from features.value_labels.labelled_decisions import GONE
from features.value_labels.labelled_reader import stream_labelled
from features.value_labels.later_features import pack_changes
from tests.conftest import NOW
from tests.decided import decided, put_imported
from tests.features.erasing import count, make_erasure
from tests.features.value_labels.conftest import DAY, HOUR

BOTH = pytest.mark.databases("sqlite", "postgresql")
CHANCES = {"discount": 0.5, "talk_plus": 0.25, NO_ACTION: 0.25}


@BOTH
def test_a_decision_has_its_chances_its_first_slot_its_credit_and_its_costs(followed):
    followed.decide("one", CHANCES, "talk_plus", "discount", arm="random")
    followed.decide("none", {"discount": 0.75, NO_ACTION: 0.25}, at=NOW + HOUR, customer_id="c2")
    followed.credit("one", 0.5)
    found = followed.labelled(NOW + 2 * DAY)
    assert found.actions == ("call_back", "discount", "talk_plus")
    assert found.chances.tolist() == [[0.0, 0.5, 0.25, 0.25], [0.0, 0.75, 0.0, 0.25]]
    assert found.shown.tolist() == [2, 3]  # of several slots the first counts
    assert found.credited.tolist() == [0.5 * (20.0 + 5.0), 0.0]
    assert found.cost.tolist() == [2.0 + 0.5, 0.0]
    assert found.arms.tolist() == ["random", "policy"]
    assert found.channels.tolist() == ["app", "app"]
    assert found.age_days.tolist() == [2.0, 2.0 - 1 / 24]
    assert found.customers[0] != found.customers[1]
    assert found.other_margin.tolist() == [-12.5, 0.0]


@BOTH
def test_margin_counts_from_the_showing_on_and_up_to_the_end_of_the_horizon(followed):
    """NOW is at 10 o'clock UTC; the horizon of 3 days ends with the day of UTC 3 days later."""
    followed.decide("one", CHANCES)
    for number, at in enumerate(
        [
            *(NOW - HOUR, NOW),  # of that day, and before
            *(NOW + HOUR, NOW + DAY, NOW + 3 * DAY + 13 * HOUR),
            *(NOW + 3 * DAY + 14 * HOUR, NOW - DAY),  # midnight after the horizon, and a day before
        ]
    ):
        followed.happen(f"e{number}", at)
    margins = [followed.labelled(NOW + days * DAY).margin[0] for days in (0, 1, 2, 3, 9)]
    assert margins == [1.25, 2.5, 2.5, 3.75, 3.75]  # days are summed whole, and so is today


def test_a_late_and_a_deleted_event_change_the_margin(followed):
    followed.decide("one", CHANCES)
    assert followed.labelled(NOW + DAY).margin.tolist() == [0.0]
    followed.happen("late", NOW + HOUR)
    assert followed.labelled(NOW + DAY).margin.tolist() == [1.25]

    def delete(connection):
        connection.execute(sa.delete(tables.events))
        tables.upsert(
            connection,
            tables.reward_marks,
            [{"kind": "customer", "key": "c1", "day": -1, "number": 9}],
        )

    followed.ledger.write_now(delete)
    assert followed.labelled(NOW + DAY).margin.tolist() == [0.0]


def test_what_a_customer_takes_along_is_that_of_the_decision_or_otherwise(followed):
    at = followed.model_input.names.index("age_years")
    for name, age in (("known", 30.0), ("unknown", np.nan), ("wrong", -1.0)):
        row = [0.0] * len(followed.model_input.names)
        row[at] = age
        followed.decide(name, CHANCES, row=row)
    assert followed.labelled().remaining.tolist() == [60.0, 5.0, 0.0]


def test_what_was_not_shown_or_has_other_features_is_left_out(followed):
    ledger = followed.ledger
    put_imported(ledger, "imported", NOW)
    followed.decide("waits", CHANCES, "discount", served=False, activated_at=None)
    followed.decide("other layout", CHANCES, layout="another")
    followed.decide("pruned", CHANCES, features=None)
    followed.decide("by a catalogue that is gone", CHANCES, catalog="0123456789abcdef")
    followed.decide("shown later", CHANCES, "discount", activated_at=NOW + DAY)
    found = followed.labelled(NOW + 2 * DAY)
    assert found.decided_us.tolist() == [tables.micros(NOW + DAY)]


@BOTH
def test_the_newest_are_read_in_batches_in_their_order(followed):
    for number in range(5):
        followed.decide(f"d{number}", CHANCES, at=NOW + number * HOUR)
    followed.decide("another layout", CHANCES, layout="another")
    for newest, first in ((3, 3), (99, 0)):  # that of another layout is one of the newest
        found = followed.labelled(NOW + DAY, newest=newest, size=2)
        hours = [tables.micros(NOW + number * HOUR) for number in range(first, 5)]
        assert found.decided_us.tolist() == hours
    found = followed.labelled(NOW + DAY, every=2)
    assert found.decided_us.tolist() == [tables.micros(NOW + number * HOUR) for number in (2, 3)]


def test_actions_that_are_gone_have_no_column(followed):
    followed.decide("one", CHANCES, "discount")
    followed.decide("two", CHANCES, "talk_plus")
    found = followed.labelled(actions=("talk_plus",))
    assert found.shown.tolist() == [GONE, 0]
    assert found.chances.tolist() == [[0.25, 0.25]] * 2
    assert found.cost.tolist() == [0.5, 2.0]


def test_a_decision_of_an_earlier_release_has_its_chances_in_the_record(followed):
    record = {"features_layout": followed.model_input.fingerprint, "attribution_days": {}}
    record |= {"candidates": ["discount", NO_ACTION], "probabilities": [0.25, 0.75]}
    row = [1.0] * len(followed.model_input.names)
    decided(followed.ledger, "old", NOW, {}, row=row, record=json.dumps(record))
    found = followed.labelled()
    assert found.chances.tolist() == [[0.0, 0.25, 0.0, 0.75]]
    assert found.rows.tolist() == [row]


@BOTH
def test_a_look_gives_the_features_of_later_and_who_had_left(followed):
    row = np.zeros(len(followed.model_input.names))
    later = row.copy()
    later[[0, 3]] = 1.5, np.nan
    for name in ("looked", "not looked", "another layout"):
        followed.decide(name, CHANCES, row=row.tolist())
    layouts = {1: followed.model_input.fingerprint, 3: "another"}
    rows = [
        {
            "serial": serial,
            "looked_at": NOW + 3 * DAY,
            "has_left": True,
            "changes": pack_changes(row, later),
            "layout": layout,
        }
        for serial, layout in layouts.items()
    ]
    followed.ledger.write_now(lambda c: tables.insert_new(c, tables.later_features, rows))
    found = followed.labelled(NOW + 3 * DAY)
    assert np.array_equal(found.later[0], later, equal_nan=True)
    assert found.is_looked.tolist() == [True, False, False]
    assert found.gone_at_look.tolist() == [True, False, False]
    assert found.looked_after_days[0] == 3.0
    assert np.isnan(found.later[1:]).all()


def test_a_silence_that_was_long_enough_at_the_look_is_leaving(followed, toy_domain):
    """A customer of the toy business has left after 20 days without an order."""
    silent = type(followed)(followed.ledger, toy_domain, followed.catalog)
    for number, days in enumerate((18, 16)):
        silent.happen(f"e{number}", NOW - days * DAY, customer=f"c{number}")
        silent.decide(f"d{number}", CHANCES, customer_id=f"c{number}")
    look = {"looked_at": NOW + 3 * DAY, "has_left": False, "changes": b""}
    look["layout"] = silent.model_input.fingerprint
    rows = [look | {"serial": serial} for serial in (1, 2)]
    silent.ledger.write_now(lambda c: tables.insert_new(c, tables.later_features, rows))
    found = silent.labelled(NOW + 5 * DAY)
    assert found.gone_at_look.tolist() == [True, False]
    assert found.left_after_days.tolist() == [0.0, 0.0]  # both silences had begun
    assert found.leaving_known_days.tolist() == [-15.0, -15.0]
    assert np.isnan(silent.labelled(NOW + DAY).left_after_days).all()


def test_who_falls_silent_leaves_when_the_silence_begins(followed, toy_domain):
    """Within the horizon of 28 days; a silence lasts 20, and who comes back has not left."""
    silent = type(followed)(followed.ledger, toy_domain, followed.catalog)
    silences = {"c0": (-30, 2), "c1": (27,), "c2": (30,), "c3": (-50,), "c4": (2, 26)}
    for customer, days in silences.items():
        for day in days:
            silent.happen(f"{customer}-{day}", NOW + day * DAY, customer=customer)
        silent.decide(f"d-{customer}", CHANCES, customer_id=customer)
    for age, expected in {
        21: [np.nan, np.nan, np.nan, -1.0, np.nan],
        22: [2.0, np.nan, np.nan, -1.0, 2.0],  # c4 is silent for long enough, and will be back
        60: [2.0, 27.0, np.nan, -1.0, 26.0],
    }.items():
        found = silent.labelled(NOW + age * DAY)
        assert found.leaving_known_days.tolist() == [age - 20.0] * 5
        assert np.array_equal(found.left_after_days, expected, equal_nan=True), age


def test_nothing_is_labelled_before_all_events_are_summed(followed):
    followed.decide("one", CHANCES)
    followed.happen("order", NOW + HOUR)
    rules = LabelRules(followed.domain, followed.catalog)
    assert list(stream_labelled(followed.ledger, rules, NOW)) == []
    assert followed.labelled(NOW + HOUR).margin.tolist() == [1.25]
    content = followed.domain.model_dump(mode="json", by_alias=True)
    content["objective"]["margin"] = 0.25
    rules = LabelRules(type(followed.domain).model_validate(content), followed.catalog)
    assert list(stream_labelled(followed.ledger, rules, NOW)) == []


def test_decisions_of_merged_customers_have_the_events_of_both(followed, tmp_path):
    for name in ("c1", "c2"):
        followed.decide(name, CHANCES, customer_id=name)
        followed.happen(f"order of {name}", NOW + HOUR, customer=name)
    look = {"looked_at": NOW + 3 * DAY, "has_left": False, "changes": b""}
    look["layout"] = followed.model_input.fingerprint
    rows = [look | {"serial": serial} for serial in (1, 2)]
    followed.ledger.write_now(lambda c: tables.insert_new(c, tables.later_features, rows))
    normalizer = KeyNormalizer(followed.domain)
    followed.ledger.write_now(lambda c: link(c, normalizer, ("c1", "c2"), "a letter", NOW))
    found = followed.labelled(NOW + 4 * DAY)
    assert found.margin.tolist() == [2.5, 2.5]
    assert found.is_looked.all() and len(set(found.customers.tolist())) == 1
    make_erasure(followed.ledger, tmp_path).forget(["c2"], NOW)
    for table in (tables.decisions, tables.later_features):
        assert count(followed.ledger, table) == 0


@BOTH
def test_a_label_is_provisional_at_once_revised_retracted_and_erased(followed, tmp_path):
    """An offer is labelled as none is. Who stays is worth 5.00, and an order brings 1.25."""
    followed.decide("offer", CHANCES, "discount")
    followed.decide("none", CHANCES, customer_id="c2")
    followed.decide("other", CHANCES, customer_id="c3")

    def totals(days):
        return followed.labelled(NOW + days * DAY).labels().total.tolist()

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
