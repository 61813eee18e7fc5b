"""The lift of a ledger: who is counted, what is counted, and what is said of it."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.errors import LedgerDown
from features.identity.keys import KeyNormalizer
from features.identity.links import link
from features.ledger import tables
from features.rewards.reward_steps import RewardRules
from serving.audit.lift.comparison import ARM_NAMES
from serving.audit.lift.view import view_lift
from serving.contract.lift import LiftRequest, LiftView
from serving.policies.arms import arm_of
from tests.commands import nba_in_process
from tests.conftest import NOW
from tests.decided import decided
from tests.features.rewards.test_reward_steps import happened, with_spend
from tests.serving.fakes import changed
from tests.summed import sum_all

DAY = timedelta(days=1)
CUSTOMERS = [f"c{number}" for number in range(60)]


class Lived:
    """60 customers are met over six days; orders are 2.5, a discount costs 0.5, leaving takes 7.

    Customers of the arm nobody get nothing. Some of all arms never come again.
    """

    def __init__(self, ledger, catalog, domain) -> None:
        churn = {"event": "visit", "when": "happens", "back": "order"}
        self.ledger = ledger
        self.catalog = changed(catalog, arms={"random": 0.3, "nobody": 0.3})
        self.domain = with_spend(domain, churn=churn, objective={"remaining_value": 7})
        self.arm = {key: arm_of(key, self.catalog.arms) for key in CUSTOMERS}
        self.met = {key: -10 + number % 6 for number, key in enumerate(CUSTOMERS)}
        self.rows = list[tuple[str, int, float, int]]()  # customer, day, value, left
        rng = np.random.default_rng(7)
        for key, met in self.met.items():
            shown = {} if self.arm[key] == "nobody" else {"discount": 14}
            about = {"customer_id": key, "arm": self.arm[key]}
            decided(ledger, f"d-{key}", NOW + met * DAY, shown, **about)
            self.rows.append((key, met, -0.5 * len(shown), 0))
            for number, day in enumerate(rng.integers(met - 3, 1, rng.integers(0, 4)).tolist()):
                happened(ledger, self.domain, f"e{key}{number}", key, NOW + day * DAY, "order")
                if day >= met:
                    self.rows.append((key, day, 2.5, 0))
            if rng.random() < 0.2:  # after all orders of the day
                at = NOW + timedelta(hours=1)
                happened(ledger, self.domain, f"v{key}", key, at, "visit")
                self.rows.append((key, 0, -7.0, 1))

    def view(self, **period) -> LiftView:
        now = NOW + 2 * timedelta(hours=1)
        # On a busy machine, a view leaves some of the sums to the background.
        sum_all(self.ledger, RewardRules.of(self.catalog, self.domain))
        return view_lift(LiftRequest(**period), self.ledger, self.catalog, self.domain, now)

    def means(self, first: int = -99, last: int = 0) -> dict[str, tuple[int, float, float]]:
        """The customers, the value of one, and the share who left, of each arm, one by one."""
        found = {}
        for arm in ARM_NAMES:
            keys = {key for key, met in self.met.items() if self.arm[key] == arm and met <= last}
            rows = [row for row in self.rows if row[0] in keys and first <= row[1] <= last]
            left = sum(row[3] for row in rows)
            found[arm] = len(keys), sum(row[2] for row in rows) / len(keys), left / len(keys)
        return found


@pytest.fixture
def lived(ledger, toy_catalog, toy_domain) -> Lived:
    return Lived(ledger, toy_catalog, toy_domain)


@pytest.mark.databases("sqlite", "postgresql")
def test_all_customers_of_an_arm_count_with_all_their_value_and_leaving(lived):
    found = lived.view()
    for view in found.arms:
        expected = lived.means()[view.arm]
        assert (view.customers, view.value, view.left) == pytest.approx(expected)
    assert sum(view.customers for view in found.arms) == len(CUSTOMERS)
    assert found.arms[2].cost == 0 and found.arms[0].cost == pytest.approx(0.5)
    for pair in found.pairs:
        left = lived.means()[pair.arm][2] - lived.means()[pair.against][2]
        assert pair.left.value == pytest.approx(left)
    assert found.merged_across_arms == 0 and found.sample_ratio.trusted
    assert LiftView.model_validate_json(found.model_dump_json()) == found


def test_an_event_with_an_amount_that_is_no_number_spoils_no_lift(lived):
    before = lived.view()
    happened(lived.ledger, lived.domain, "bad", CUSTOMERS[0], NOW, "order")
    bad = sa.update(tables.events).where(tables.events.c.event_id == "bad")
    lived.ledger.write_now(lambda c: c.execute(bad.values(properties='{"amount_eur": NaN}')))
    assert lived.view() == before


@pytest.mark.parametrize(("since", "until"), [(-4, None), (None, -7), (-4, -2)])
def test_a_period_limits_the_days_that_count_and_no_customers(lived, since, until):
    days = {"since": since, "until": until}
    period = {name: NOW + day * DAY for name, day in days.items() if day is not None}
    last = until if until is not None else 0
    expected = lived.means(since if since is not None else -99, last)
    for view in lived.view(**period).arms:
        assert (view.customers, view.value, view.left) == pytest.approx(expected[view.arm])


def test_a_period_tells_who_had_left_before_it_and_which_days_count(lived):
    tomorrow = lived.view(since=NOW + DAY)
    gone = ", ".join(f"{100 * lived.means()[arm][2]:.1f} % of {arm}" for arm in ARM_NAMES)
    assert tomorrow.remarks[0].startswith(f"Before this period had left: {gone}.")
    assert tomorrow.verdict == "Not enough yet: no day of the period has come."
    assert not any("period" in said or "UTC" in said for said in lived.view().remarks)
    lived.catalog = changed(lived.catalog, clock={"zone": "Europe/Rome"})
    said = "Values count by days of UTC, and credited rewards by days of Europe/Rome."
    assert said in lived.view().remarks


def test_who_was_merged_across_arms_is_in_the_arm_of_the_id_that_stayed_and_is_counted(lived):
    before = lived.view()
    keys = [next(key for key in CUSTOMERS if lived.arm[key] == arm) for arm in ("policy", "random")]
    normalizer = KeyNormalizer(lived.domain)
    lived.ledger.write_now(lambda c: link(c, normalizer, tuple(keys), "test", NOW))
    found = lived.view()
    assert found.merged_across_arms == 1
    assert any("1 customers have decisions of several arms" in text for text in found.remarks)
    customers = {view.arm: view.customers for view in before.arms}
    now = {view.arm: view.customers for view in found.arms}
    assert sum(now.values()) == len(CUSTOMERS) - 1
    assert now["nobody"] == customers["nobody"]


def test_a_channel_that_asks_for_one_arm_only_is_told_before_any_lift(
    ledger, toy_catalog, toy_domain
):
    catalog = changed(toy_catalog, arms={"random": 0.3, "nobody": 0.3})
    asked = [key for key in CUSTOMERS if arm_of(key, catalog.arms) != "nobody"]
    for key in asked:
        decided(ledger, f"d-{key}", NOW, {}, customer_id=key, arm=arm_of(key, catalog.arms))
    found = view_lift(LiftRequest(), ledger, catalog, toy_domain, NOW)
    assert found.sample_ratio.p_value < 1e-4 and not found.sample_ratio.trusted
    assert found.verdict.startswith("Do not trust the lift: ")
    assert "nobody 0 (0.0%, planned 30.0%)" in found.verdict
    assert found.pairs[0].lift is None and found.arms[2].value is None


def test_a_lift_sums_what_is_new_and_says_what_it_could_not_sum(
    ledger, toy_catalog, toy_domain, monkeypatch
):
    def credited(**changes):
        catalog = changed(toy_catalog, **changes)
        return view_lift(LiftRequest(), ledger, catalog, toy_domain, NOW).credited

    for number in range(5):
        about = {"customer_id": f"c{number}", "arm": "policy" if number < 3 else "random"}
        decided(ledger, f"d{number}", NOW, {"discount": 14}, **about)
    found = credited()
    assert (found.policy.decisions, found.random.decisions) == (3, 2)

    def down(*asked: object) -> None:
        raise LedgerDown("The disk is full.", expected="room", remedy="Make room.")

    monkeypatch.setattr(ledger, "write_now", down)
    assert "5 decisions still count by the earlier ones" in credited(attribution="even").remarks[-1]


def test_the_command_tells_the_lift_to_people_and_to_programs(tmp_path):
    env = {"NBA_HOME": str(tmp_path)}
    done = nba_in_process(["lift"], env)
    assert done.returncode == 0, done.stderr
    assert "Not enough yet" in done.stdout
    done = nba_in_process(["lift", "--since", "2026-01-01", "--json"], env)
    assert json.loads(done.stdout)["pairs"] == []
    done = nba_in_process(["lift", "--since", "2026-02-01", "--until", "2026-01-01"], env)
    assert done.returncode == 2 and "Correct --until" in done.stderr
