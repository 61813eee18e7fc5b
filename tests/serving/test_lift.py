"""Lift as people read it: a verdict in words, on a ledger whose truth is known."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from features import tables
from features.catalog import Catalog
from features.errors import InvalidRequest
from features.identity import Spelling, link
from serving.contract_lift import LiftView
from serving.lift import view_lift
from tests.conftest import NOW, nba
from tests.decided import decided

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class World:
    """A hundred customers, twenty of them in the control group, one discount each (14 days)."""

    def __init__(self, ledger, domain, catalog: Catalog, share: float = 0.2) -> None:
        content = catalog.model_dump(mode="json") | {"control_group": {"share": share}}
        self.ledger, self.domain = ledger, domain
        self.catalog = Catalog.model_validate(content)

    def decide(self, policy: int = 80, control: int = 20) -> None:
        for number in range(policy + control):
            arm = "policy" if number < policy else "control"
            at = NOW - (number % 5) * DAY
            about = {"customer_id": f"c{number}", "arm": arm}
            decided(self.ledger, f"d{number}", at, {"discount": 14}, **about)

    def tell(self, numbers: range, outcome: str = "accepted", **changed: object) -> None:
        rows = [
            {
                "outcome_id": f"{changed.get('retracts') or outcome}-{number}",
                "decision_id": f"d{number}",
                "action_id": "discount",
                "outcome": outcome,
                "occurred_at": NOW + HOUR,
                "received_at": NOW + HOUR,
                "learned": True,
            }
            | changed
            for number in numbers
        ]
        self.ledger.write_now(lambda c: c.execute(tables.outcomes.insert(), rows))

    def view(self, at: timedelta = 20 * DAY, since=None, until=None) -> LiftView:
        return view_lift(self.ledger, self.domain, self.catalog, since, until, NOW + at)


@pytest.fixture
def world(ledger, toy_domain, toy_catalog) -> World:
    return World(ledger, toy_domain, toy_catalog)


def test_a_policy_that_earns_more_is_told_with_its_interval_and_course(world):
    world.decide()
    world.tell(range(60))  # of the policy's
    world.tell(range(80, 82))
    view = world.view()
    # 60 of 80 and 2 of 20 accept, worth 5 each; a showing costs 0.5.
    assert view.lift.per_customer == pytest.approx(5 * (60 / 80 - 2 / 20))
    assert view.verdict == "more" and view.lift.low > 0
    assert view.in_words.startswith("The policy earns more than chance: 3.25 EUR a customer (")
    assert (view.policy.customers, view.control.customers) == (80, 20)
    assert view.policy.reward_per_customer == pytest.approx(5 * 60 / 80 - 0.5)
    assert len(view.days) == 5
    assert view.days[-1].lift == pytest.approx(view.lift.per_customer)
    assert str(view.days[-1].day) == "2026-11-22"
    assert "may be too short" in " ".join(view.remarks)  # 2 customers tell of the control group


def test_late_and_retracted_outcomes_change_the_lift(world):
    world.decide()
    world.tell(range(40))
    world.tell(range(80, 90))
    assert world.view().verdict == "unclear"
    world.tell(range(40, 80), occurred_at=NOW + 9 * DAY)
    assert world.view().verdict == "more"
    assert world.view().lift.per_customer == pytest.approx(5 * (1 - 10 / 20))
    for number in range(80):
        row = {"retracts": f"accepted-{number}", "outcome_id": f"back-{number}"}
        world.tell(range(number, number + 1), **row)
    view = world.view()
    assert view.lift.per_customer == pytest.approx(5 * (0 - 10 / 20))
    assert view.verdict == "less" and view.in_words.startswith("The policy earns less than chance")


def test_open_windows_are_counted_with_what_is_known_and_told(world):
    world.decide()
    view = world.view(at=11 * DAY)
    assert view.policy.open_decisions + view.control.open_decisions == 60
    assert "60 decisions are counted with what is known" in view.remarks[0]
    assert world.view().remarks == []


def test_a_split_that_is_not_what_the_catalogue_says_is_named_in_plain_words(ledger, toy_domain,
                                                                             toy_catalog):  # fmt: skip
    world = World(ledger, toy_domain, toy_catalog, share=0.02)
    world.decide()
    world.tell(range(60))
    view = world.view()
    assert view.verdict == "do not trust"
    assert view.in_words.startswith("The split is not what the catalogue says: 20 of 100 customers")
    assert "Do not trust the lift." in view.sample_ratio.warning
    assert view.sample_ratio.p_value < 0.001


def test_a_split_as_the_catalogue_says_has_no_warning(world):
    world.decide()
    assert world.view().sample_ratio.warning is None


def test_who_was_merged_across_the_arms_is_counted_in_neither(world):
    world.decide()
    world.tell(range(10))
    spelling = Spelling(world.domain)
    pair = ("c0", "c99")
    world.ledger.write_now(lambda c: link(c, spelling, pair, "told", NOW, again=True))
    view = world.view()
    assert view.in_both_arms == 1
    assert (view.policy.customers, view.control.customers) == (79, 19)
    assert "1 customers were seen in both arms" in view.remarks[0]


@pytest.mark.parametrize(("policy", "control"), [(0, 0), (1, 20), (20, 1), (20, 20)])
def test_where_there_is_not_enough_it_says_so_instead_of_a_number(world, policy, control):
    """The last: nobody accepted anything, so nobody differs."""
    world.decide(policy, control)
    view = world.view()
    assert view.lift is None
    suspicious = view.sample_ratio is not None and view.sample_ratio.warning is not None
    assert view.verdict == "not enough" and view.in_words.startswith("Not enough: ")
    assert not suspicious or control > policy / 4
    assert LiftView.model_validate_json(view.model_dump_json()) == view


def test_a_period_that_ends_before_it_begins_is_refused(world):
    with pytest.raises(InvalidRequest, match="until is .*Expected a time after since"):
        world.view(since=NOW, until=NOW)


def test_a_period_is_of_what_was_shown_in_it(world):
    world.decide()
    view = world.view(since=NOW - 2 * DAY)
    assert (view.policy.customers, view.control.customers) == (48, 12)
    assert len(view.days) == 3


def test_the_command_tells_the_lift_to_people_and_to_programs(tmp_path):
    env = {"NBA_HOME": str(tmp_path)}
    done = nba(["lift"], env)
    assert done.returncode == 0, done.stderr
    assert "Not enough: 0 customers in the policy's arm" in done.stdout
    done = nba(["lift", "--since", "2026-01-01", "--json"], env)
    assert json.loads(done.stdout)["verdict"] == "not enough"
    done = nba(["lift", "--since", "2026-02-01", "--until", "2026-01-01"], env)
    assert done.returncode == 2 and "Swap them" in done.stderr


def test_an_imported_decision_is_in_no_arm(world):
    world.decide(4, 4)
    unknown = sa.update(tables.decisions).values(arm=None)
    world.ledger.write_now(lambda connection: connection.execute(unknown))
    assert world.view().policy.customers == 0
