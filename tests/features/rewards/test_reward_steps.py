"""Tests that the summed rows are those of a computation from scratch, whatever happened before."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.identity.keys import KeyNormalizer
from features.identity.links import link, resolve, unlink
from features.journeys.events import Event
from features.ledger import tables
from features.ledger.derived_tables import mark_decisions
from features.ledger.ledger import Ledger
from features.rewards.customer_values import KeptValues, customer_values
from features.rewards.event_days import EventRules, mark_events
from features.rewards.event_rows import unpack_event_days
from features.rewards.kept_rows import KeptRows
from features.rewards.reward_rows import ARMS
from features.rewards.reward_state import forget_rewards, read_state
from features.rewards.reward_steps import RewardRules, sum_rewards
from features.rewards.reward_steps import _computed as computed_step
from features.rewards.reward_steps import _write as write_step
from features.rewards.rewards import NotSummed, rewards
from tests.conftest import NOW
from tests.decided import decided
from tests.recomputed import (
    as_sums,
    recomputed_event_days,
    recomputed_met,
    recomputed_rewards,
    recomputed_values,
)
from tests.summed import sum_all

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# A visit is how customers leave, an order how they come back.
LEAVING = {
    "churn": {"event": "visit", "when": "happens", "back": "order"},
    "objective": {"margin": {"order.amount_eur": -0.5}, "remaining_value": 3},
}
CUSTOMERS = ("c1", "c2", "c3", "c4", "c5")


def with_spend(domain: Domain, **changes: Any) -> Domain:
    """The domain, in which orders have a value."""
    content = domain.model_dump(mode="json", by_alias=True)
    content["events"]["order"]["properties"]["amount_eur"]["measures"] = "spend"
    return Domain.model_validate(content | changes)


def with_values(catalog: Catalog, rng: np.random.Generator) -> Catalog:
    """The catalogue with other values and costs, another attribution, and listed outcomes."""
    content = catalog.model_dump(mode="json", by_alias=True)
    content["attribution"] = rng.choice(["last_touch", "first_touch", "even"])
    for action in content["actions"].values():
        action["value"], action["cost"] = float(rng.integers(1, 9)), float(rng.integers(0, 3))
        listed = {"accepted": {"reward": 3.0}, "clicked": {"reward": "told"}}
        action["outcomes"] = listed if rng.random() < 0.5 else {}
    return Catalog.model_validate(content)


class Story:
    """Random changes of a ledger, with the marks that the code of each change makes."""

    def __init__(self, ledger: Ledger, catalog: Catalog, domain: Domain, seed: int) -> None:
        self.ledger, self.catalog, self.domain = ledger, catalog, domain
        self.rng = np.random.default_rng(seed)
        self.normalizer = KeyNormalizer(domain)
        self.decisions: dict[str, tuple[datetime, str]] = {}
        self.waiting: list[str] = []
        self.outcomes: list[tuple[str, str]] = []
        self.number = 0
        self.kept = KeptRows()
        self.kept_values = KeptValues(self.kept)

    def go_on(self) -> None:
        changes: list[Callable[[], None]] = [
            *[self.decide] * 6,
            *[self.tell] * 6,
            *[self.happen] * 4,
            *[self.activate] * 2,
            *[self.take_back] * 2,
            *(self.merge, self.split, self.erase, self.change_catalog),
            *[self.step] * 5,
        ]
        changes[self.rng.integers(len(changes))]()

    def a_time(self) -> datetime:
        return NOW - float(self.rng.random()) * 30 * DAY

    def next_id(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number}"

    def decide(self) -> None:
        name, at = self.next_id("d"), self.a_time()
        first, second = self.rng.permutation([*self.catalog.actions, "of_last_year"])[:2]
        days = [{}, {first: 7}, {first: 3, second: 14}][self.rng.integers(3)]
        more: dict[str, Any] = {"customer_id": str(self.rng.choice(CUSTOMERS))}
        more["arm"] = str(self.rng.choice(ARMS))
        if self.rng.random() < 0.2:
            more |= {"activated_at": None, "served": False}
            self.waiting.append(name)
        decided(self.ledger, name, at, {str(key): value for key, value in days.items()}, **more)
        self.decisions[name] = at, str(first)

    def activate(self) -> None:
        name = self.waiting.pop() if self.waiting else ""
        if name not in self.decisions:
            return
        at, columns = self.decisions[name][0] + 5 * HOUR, tables.decisions.c

        def write(connection: sa.Connection) -> None:
            query = sa.select(tables.decisions).where(columns.decision_id == name)
            row = connection.execute(query).first()
            shown = list(json.loads(row.record)["attribution_days"])[:1]
            changes = {"served": True, "activated_at": at, "window_ends_at": at + 7 * DAY}
            update = sa.update(tables.decisions).where(columns.decision_id == name)
            kept = json.dumps({"activated": shown})
            connection.execute(update.values(**changes, activation=kept))
            contact = {"subject": row.subject, "customer_id": row.customer_id, "shown_at": at}
            contact |= {"channel": "app", "action_group": "any", "outcomes_at": ""}
            for action in shown:
                values = contact | {"decision_id": name, "action_id": action}
                connection.execute(tables.contacts.insert(), values)
            mark_decisions(connection, [name])

        self.ledger.write_now(write)

    def tell(self) -> None:
        if not self.decisions:
            return
        name = str(self.rng.choice(list(self.decisions)))
        at, action = self.decisions[name]
        row = self.outcome(name, action, at + float(self.rng.random()) * 10 * DAY)
        if self.rng.random() < 0.5:
            row["shared_id"] = f"order-{self.rng.integers(4)}"
        self.put(row)

    def take_back(self) -> None:
        if not self.outcomes:
            return
        outcome_id, name = self.outcomes[self.rng.integers(len(self.outcomes))]
        if name in self.decisions:
            at, action = self.decisions[name]
            change = "retracts" if self.rng.random() < 0.5 else "revises"
            self.put(self.outcome(name, action, at + DAY) | {change: outcome_id})

    def outcome(self, name: str, action: str, at: datetime) -> dict[str, Any]:
        return {
            "outcome_id": self.next_id("o"),
            "decision_id": name,
            "action_id": action,
            "outcome": str(self.rng.choice(["accepted", "rejected", "clicked"])),
            "value": float(self.rng.integers(5)),
            "occurred_at": at,
            "received_at": NOW,
            "learned": True,
        }

    def put(self, row: dict[str, Any]) -> None:
        def write(connection: sa.Connection) -> None:
            connection.execute(tables.outcomes.insert(), row)
            mark_decisions(connection, [row["decision_id"]])

        self.ledger.write_now(write)
        self.outcomes.append((row["outcome_id"], row["decision_id"]))

    def happen(self) -> None:
        kind, customer_id = self.rng.choice(["order", "visit"]), str(self.rng.choice(CUSTOMERS))
        happened(self.ledger, self.domain, self.next_id("e"), customer_id, self.a_time(), kind)

    def merge(self) -> None:
        pair = tuple(str(key) for key in self.rng.choice(CUSTOMERS, 2, replace=False))
        self.ledger.write_now(lambda c: self._marked(c, pair, link))

    def split(self) -> None:
        holds = tables.links.c.undone_at.is_(None)
        found = self.ledger.read(lambda c: c.execute(sa.select(tables.links).where(holds)).first())
        if found:
            pair = (found.left, found.right)
            self.ledger.write_now(lambda c: self._marked(c, pair, unlink))

    def _marked(self, connection: sa.Connection, pair: Any, change: Any) -> None:
        arguments = (self.normalizer,) if change is link else ()
        change(connection, *arguments, pair, "test", NOW)

    def erase(self) -> None:
        who = str(self.rng.choice(CUSTOMERS))

        def write(connection: sa.Connection) -> None:
            decided_ = tables.decisions.c
            mine = sa.select(decided_.decision_id).where(decided_.customer_id == who)
            names = list(connection.execute(mine).scalars())
            forget_rewards(connection, [who], names)
            for table in (tables.outcomes, tables.contacts, tables.credits, tables.decisions):
                connection.execute(sa.delete(table).where(table.c.decision_id.in_(names)))
            connection.execute(sa.delete(tables.events).where(tables.events.c.customer_id == who))
            for name in names:
                self.decisions.pop(name)

        self.ledger.write_now(write)

    def change_catalog(self) -> None:
        if self.rng.random() < 0.2:  # rarely: all rows are computed again by it
            self.catalog = with_values(self.catalog, self.rng)

    def step(self) -> None:
        sum_rewards(self.ledger, self.rules, int(self.rng.integers(1, 20)))
        rewards(self.ledger, self.catalog, NOW, kept=self.kept)

    @property
    def rules(self) -> RewardRules:
        return RewardRules.of(self.catalog, self.domain)


def happened(
    ledger: Ledger, domain: Domain, event_id: str, customer_id: str, at: datetime, kind: str
) -> None:
    """Append an event of a customer; an order of 2.5."""
    properties = {"amount_eur": 2.5} if kind == "order" else {}
    one = Event(event_id, (customer_id,), kind, at, "app", properties)

    def write(connection: sa.Connection) -> None:
        owner = resolve(connection, [customer_id])
        row = {
            "customer_id": owner,
            "occurred_at": at,
            "event_id": event_id,
            "subject": customer_id,
            "type": kind,
            "channel": "app",
            "properties": one.properties_json,
        }
        connection.execute(tables.events.insert(), row)
        mark_events(connection, EventRules.of(domain), {owner: [one]})

    ledger.write_now(write)


def summed_events(ledger: Ledger) -> dict[tuple[str, int], tuple[int, float]]:
    query = sa.select(tables.event_days)
    rows = ledger.read(lambda connection: connection.execute(query).all())
    return {
        (row.customer_id, one.day): (one.left, one.value)
        for row in rows
        for one in unpack_event_days(row.days)
    }


def assert_as_from_scratch(story: Story, **period: datetime) -> None:
    expected = recomputed_rewards(story.ledger, story.catalog, NOW, **period)
    found = rewards(story.ledger, story.catalog, NOW, **period)
    assert found.not_summed == NotSummed(0, 0, 0)
    sums = as_sums(found)
    assert sums.keys() == expected.keys()
    assert as_sums(rewards(story.ledger, story.catalog, NOW, kept=story.kept, **period)) == sums
    for key, values in expected.items():
        assert sums[key] == pytest.approx(values, abs=1e-9), key


def assert_values_as_from_scratch(story: Story) -> None:
    expected = recomputed_values(story.ledger, story.domain, story.catalog, NOW)
    for kept in (None, story.kept_values):
        found = customer_values(story.ledger, story.domain, story.catalog, NOW, kept=kept)
        assert found.customers == sorted(recomputed_met(story.ledger))
        rows = list(zip(*(column.tolist() for column in found.days), strict=True))
        sums = {(found.customers[row[0]], row[1]): row[2:] for row in rows}
        sums = {key: values for key, values in sums.items() if any(values)}
        assert sums.keys() == expected.keys()
        for key, values in expected.items():
            assert sums[key] == pytest.approx(values, abs=1e-9), key


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("changes", [{}, LEAVING], ids=["silent", "happens"])
def test_the_sums_are_those_of_a_computation_from_scratch(
    ledger, toy_catalog, toy_domain, seed, changes
):
    domain = with_spend(toy_domain, **changes)
    story = Story(ledger, toy_catalog, domain, seed)
    for _ in range(3):
        for _ in range(60):
            story.go_on()
        sum_all(ledger, story.rules, 7)
        assert_as_from_scratch(story)
        begin, end = sorted([story.a_time(), story.a_time()])
        assert_as_from_scratch(story, since=begin, until=end)
        assert summed_events(ledger) == recomputed_event_days(ledger, domain)
        assert_values_as_from_scratch(story)
    assert story.decisions


def test_a_step_that_is_computed_while_another_is_written_changes_nothing(
    ledger, toy_catalog, toy_domain
):
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d1", NOW, {"discount": 14})
    late = ledger.read(lambda connection: computed_step(connection, rules, 64, True))
    decided(ledger, "d2", NOW, {"discount": 14})
    sum_all(ledger, rules)
    before = as_sums(rewards(ledger, toy_catalog, NOW))
    ledger.write_now(lambda connection: write_step(connection, late))
    assert as_sums(rewards(ledger, toy_catalog, NOW)) == before
    assert next(iter(before.values()))[0] == 2


def test_a_mark_that_comes_while_a_step_is_computed_stays(ledger, toy_catalog, toy_domain):
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d1", NOW, {"discount": 14})
    sum_all(ledger, rules)
    for _ in range(2):
        ledger.write_now(lambda c: mark_decisions(c, ["d1"]))
        step = ledger.read(lambda c: computed_step(c, rules, 64, True))
    assert step is not None
    ledger.write_now(lambda c: mark_decisions(c, ["d1"]))
    ledger.write_now(lambda c: write_step(c, step))
    assert rewards(ledger, toy_catalog, NOW).not_summed == NotSummed(0, 1, 0)


def test_an_outcome_changes_the_credit_of_a_decision_that_shares_it(
    ledger, toy_catalog, toy_domain
):
    """The credit of an outcome belongs to the decision that was shown last."""
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d1", NOW - DAY, {"discount": 14}, customer_id="c1")
    decided(ledger, "d2", NOW, {"discount": 14}, customer_id="c2")
    for name, expected in (("d1", {"c1": 4.5, "c2": -0.5}), ("d2", {"c1": -0.5, "c2": 4.5})):
        told = {"outcome_id": name, "decision_id": name, "action_id": "discount"}
        told |= {"outcome": "accepted", "occurred_at": NOW, "received_at": NOW}

        def tell(connection: sa.Connection, row: Any = told, name: str = name) -> None:
            row = row | {"learned": True, "shared_id": "order-7"}
            connection.execute(tables.outcomes.insert(), row)
            mark_decisions(connection, [name])

        ledger.write_now(tell)
        sum_all(ledger, rules)
        found = as_sums(rewards(ledger, toy_catalog, NOW))
        assert {key[0]: values[2] for key, values in found.items()} == expected


def test_a_walk_deletes_the_rows_of_customers_without_decisions(ledger, toy_catalog, toy_domain):
    decided(ledger, "d5", NOW, {"discount": 14}, customer_id="c5")
    sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))
    row = {"windows_differ_until": NOW, "days": b"", "window_ends": b"", "step": 1}
    rows = [{"customer_id": name} | row for name in ("c4", "c6")]
    ledger.write_now(lambda c: c.execute(tables.reward_days.insert(), rows))
    other = with_values(toy_catalog, np.random.default_rng(1))
    sum_all(ledger, RewardRules.of(other, toy_domain))
    query = sa.select(tables.reward_days.c.customer_id)
    assert ledger.read(lambda c: c.execute(query).scalars().all()) == ["c5"]


def test_an_erased_customer_does_not_come_back_by_a_step_that_was_computed_before(
    ledger, toy_catalog, toy_domain
):
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d1", NOW, {"discount": 14})
    late = ledger.read(lambda connection: computed_step(connection, rules, 64, True))

    def erase(connection: sa.Connection) -> None:
        forget_rewards(connection, ["c1"], ["d1"])
        connection.execute(sa.delete(tables.decisions))

    sum_all(ledger, rules)
    ledger.write_now(erase)
    ledger.write_now(lambda connection: write_step(connection, late))
    assert as_sums(rewards(ledger, toy_catalog, NOW)) == {}


def test_a_decision_that_gets_the_number_of_an_erased_one_is_counted(
    ledger, toy_catalog, toy_domain
):
    rules = RewardRules.of(toy_catalog, toy_domain)
    decided(ledger, "d1", NOW, {"discount": 14}, customer_id="c1")
    decided(ledger, "d2", NOW, {"discount": 14}, customer_id="c2")
    sum_all(ledger, rules)

    def erase(connection: sa.Connection) -> None:
        forget_rewards(connection, ["c2"], ["d2"])
        mine = tables.decisions.c.decision_id == "d2"
        connection.execute(sa.delete(tables.decisions).where(mine))

    ledger.write_now(erase)
    decided(ledger, "d3", NOW, {"discount": 14}, customer_id="c3")
    sum_all(ledger, rules)
    customers = {key[0] for key in as_sums(rewards(ledger, toy_catalog, NOW))}
    assert customers == {"c1", "c3"}


def test_an_old_ledger_is_summed_in_steps_and_says_what_is_not_counted_yet(
    ledger, toy_catalog, toy_domain
):
    rules = RewardRules.of(toy_catalog, toy_domain)
    for number in range(20):
        decided(ledger, f"d{number}", NOW, {"discount": 14}, customer_id=f"c{number:02}")
    assert rewards(ledger, toy_catalog, NOW).not_summed == NotSummed(20, 0, 0)
    assert sum_rewards(ledger, rules, 8, lead=False)  # nobody has summed by other rules
    found = rewards(ledger, toy_catalog, NOW)
    assert found.not_summed == NotSummed(12, 0, 0) and len(found.table.day) == 8
    other = with_values(toy_catalog, np.random.default_rng(1))
    assert rewards(ledger, other, NOW).not_summed == NotSummed(20, 0, 0)
    sum_all(ledger, rules)
    assert rewards(ledger, toy_catalog, NOW).not_summed == NotSummed(0, 0, 0)


def test_after_a_change_of_values_the_old_ones_count_until_they_are_summed_again(
    ledger, toy_catalog, toy_domain
):
    for number in range(20):
        decided(ledger, f"d{number}", NOW, {"discount": 14}, customer_id=f"c{number:02}")
    sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))
    content = toy_catalog.model_dump(mode="json", by_alias=True)
    content["actions"]["discount"]["cost"] = 3.0
    dearer = Catalog.model_validate(content)
    assert rewards(ledger, dearer, NOW).not_summed == NotSummed(0, 0, 20)
    rules = RewardRules.of(dearer, toy_domain)
    assert not sum_rewards(ledger, rules, 8, lead=False)
    sum_rewards(ledger, rules, 8)
    found = rewards(ledger, dearer, NOW)
    assert found.not_summed == NotSummed(0, 0, 12)
    assert sorted(set(found.table.reward)) == [-3.0, -0.5]
    sum_all(ledger, rules)
    assert set(rewards(ledger, dearer, NOW).table.reward) == {-3.0}


def test_a_catalogue_that_earns_the_same_changes_no_rows(ledger, toy_catalog, toy_domain):
    decided(ledger, "d1", NOW, {"discount": 14})
    sum_all(ledger, RewardRules.of(toy_catalog, toy_domain))
    content = toy_catalog.model_dump(mode="json", by_alias=True)
    content["actions"]["discount"]["description"] = "Another text"
    state = ledger.read(read_state)
    sum_all(ledger, RewardRules.of(Catalog.model_validate(content), toy_domain))
    assert ledger.read(read_state) == state


def test_a_walk_goes_on_while_decisions_come(ledger, toy_catalog, toy_domain):
    rules = RewardRules.of(toy_catalog, toy_domain)
    for number in range(20):
        decided(ledger, f"d{number}", NOW, {"discount": 14}, customer_id=f"c{number:02}")
    for number in range(20, 60):
        sum_rewards(ledger, rules, 8)
        decided(ledger, f"d{number}", NOW, {"discount": 14}, customer_id=f"a{number:02}")
    assert ledger.read(read_state).rewards.after is None
