"""The files of journeys have what the ledger has, however they were cut into parts."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features.analytics import build as built_by
from features.analytics.build import build_journeys, cut_customers
from features.analytics.cut import stored_pasts
from features.analytics.journey_data import JourneyData
from features.analytics.journey_files import pairs_in, write_delta
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.identity.tombstones import add_tombstones
from features.ledger import tables
from features.ledger.tables import micros
from tests.features.live import DAY, MINUTE, NOW, SHOP, add, person, stored

pytestmark = pytest.mark.databases("sqlite", "postgresql")

CUSTOMERS = [f"c{number:02}" for number in range(12)]
JOURNEYS = "SELECT * FROM journeys ORDER BY customer_id, journey"
STEPS = "SELECT * FROM steps ORDER BY customer_id, journey, seq"


def fill(ledger, seed=1):
    """Make up a shop: each customer with a few events, some shown, one with nothing else."""
    draw = random.Random(seed)
    events = [
        stored(
            f"{customer}-{number:02}",
            customer,
            NOW - draw.randint(0, 90) * DAY / 2,
            type=draw.choice(["view", "view", "order", "complaint", "gone"]),
            channel=draw.choice(["web", "till", "fax"]),
            received_at=NOW,
        )
        for customer in CUSTOMERS[:-1]
        for number in range(draw.randint(1, 12))
    ]
    add(ledger, tables.events, *events)
    add(ledger, tables.contacts, *(shown(f"d{one}", one) for one in CUSTOMERS[::3]))
    add(ledger, tables.contacts, shown("d-only", CUSTOMERS[-1]), shown("d-later", "c00", -1))
    add(
        ledger,
        tables.customers,
        *(person(one, "acme" if one < "c05" else None, plan="plus") for one in CUSTOMERS[:8]),
    )


def shown(number, customer, days=10):
    row = {"decision_id": number, "action_id": "call", "subject": customer}
    row |= {"customer_id": customer, "shown_at": NOW - days * DAY, "channel": "web"}
    return row | {"action_group": "care", "outcomes_at": "{}"}


def opened(folder, deltas=()):
    return JourneyData.of_files(SHOP, pairs_in(folder), deltas, micros(NOW), 1)


def both(data):
    with data:
        return data.rows(JOURNEYS), data.rows(STEPS)


def cut(ledger, customers):
    journeys, steps = ledger.read(lambda c: cut_customers(c, SHOP, customers, micros(NOW)))
    return JourneyData.of_tables(SHOP, journeys, steps, micros(NOW))


@pytest.mark.parametrize("part", [3, 20, 100_000])
def test_parts_of_any_size_make_the_same_journeys(ledger, tmp_path, monkeypatch, part):
    fill(ledger)
    monkeypatch.setattr(stored_pasts, "PART_EVENTS", part)
    monkeypatch.setattr(built_by, "STEPS_OF_A_FILE", 20)
    built = build_journeys(ledger, SHOP, tmp_path / "base", NOW)
    assert both(opened(tmp_path / "base")) == both(cut(ledger, CUSTOMERS))
    assert (built.customers, len(built.pairs) > 1) == (12, part < 100)
    assert built.steps == len(both(cut(ledger, CUSTOMERS))[1])


def test_journeys_carry_account_attributes_and_what_was_shown(ledger, tmp_path):
    fill(ledger)
    build_journeys(ledger, SHOP, tmp_path / "base", NOW)
    with opened(tmp_path / "base") as data:
        facts = data.rows("SELECT DISTINCT customer_id, account, a_plan FROM journeys ORDER BY 1")
        assert facts[3:9] == [
            *[(f"c{number:02}", "acme", "plus") for number in (3, 4)],
            *[(f"c{number:02}", None, "plus") for number in (5, 6, 7)],
            ("c08", None, None),
        ]
        decided = data.rows("SELECT customer_id, at_us FROM steps WHERE what = 1 ORDER BY 1")
        at_us = micros(NOW - 10 * DAY)
        assert decided == [(one, at_us) for one in ("c00", "c03", "c06", "c09", "c11")]


def test_a_delta_replaces_its_customers_also_those_without_journeys(ledger, tmp_path):
    fill(ledger)
    build_journeys(ledger, SHOP, tmp_path / "base", NOW)
    new = stored("new", "c01", NOW - DAY, type="complaint")
    add(ledger, tables.events, new)
    gone = sa.delete(tables.events).where(tables.events.c.customer_id == "c02")
    ledger.write_now(lambda c: c.execute(gone))
    changed = ["c01", "c02", "nobody"]
    journeys, steps = ledger.read(lambda c: cut_customers(c, SHOP, changed, micros(NOW)))
    first = write_delta(tmp_path / "deltas", "00001", changed, journeys, steps)
    assert both(opened(tmp_path / "base", [first])) == both(cut(ledger, CUSTOMERS))
    add(ledger, tables.events, new | {"event_id": "newer", "occurred_at": NOW})
    journeys, steps = ledger.read(lambda c: cut_customers(c, SHOP, ["c01"], micros(NOW)))
    second = write_delta(tmp_path / "deltas", "00002", ["c01"], journeys, steps)
    assert both(opened(tmp_path / "base", [first, second])) == both(cut(ledger, CUSTOMERS))


def test_events_that_are_still_moved_are_cut_with_their_customer(ledger, tmp_path):
    fill(ledger)
    add(ledger, tables.events, *(stored(f"m{n}", "email:a", NOW - n * MINUTE) for n in range(401)))
    names = KeyNormalizer(SHOP)
    ledger.write_now(lambda c: link(c, names, ("c01", "email:a"), "test", NOW))
    assert ledger.read(lambda c: list(c.execute(sa.select(tables.relocations))))
    before = both(cut(ledger, CUSTOMERS))
    assert sum(row[1] == "c01" for row in before[1]) >= 401
    build_journeys(ledger, SHOP, tmp_path / "base", NOW)
    assert both(opened(tmp_path / "base")) == before == both(cut(ledger, CUSTOMERS))


def test_who_is_forgotten_while_events_are_read_is_not_in_the_files(ledger, tmp_path):
    fill(ledger)
    ledger.write_now(lambda c: add_tombstones(c, ["c03"], NOW))
    build_journeys(ledger, SHOP, tmp_path / "base", NOW)
    assert both(opened(tmp_path / "base")) == both(cut(ledger, set(CUSTOMERS) - {"c03"}))


def test_events_after_the_moment_are_left_out(ledger, tmp_path):
    fill(ledger)
    earlier = NOW - timedelta(days=20)
    build_journeys(ledger, SHOP, tmp_path / "base", earlier)
    with JourneyData.of_files(SHOP, pairs_in(tmp_path / "base"), [], micros(earlier), 1) as data:
        [(last_us,)] = data.rows("SELECT max(at_us) FROM steps")
        assert last_us <= micros(earlier)
        [(events_n,)] = data.rows("SELECT count(*) FROM steps WHERE what = 0 AND map = 2")
    query = sa.select(sa.func.count()).where(
        tables.events.c.occurred_at <= earlier,
        tables.events.c.type != "gone",
        tables.events.c.channel != "fax",
    )
    assert events_n == ledger.read(lambda c: c.execute(query).scalar())


def test_an_empty_ledger_has_no_journeys(ledger, tmp_path):
    built = build_journeys(ledger, SHOP, tmp_path / "base", NOW)
    assert (built.customers, built.journeys, built.steps) == (0, 0, 0)
    assert both(opened(tmp_path / "base")) == ([], [])
