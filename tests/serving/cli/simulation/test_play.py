"""The customers of a small world use a started server, whose days pass by its simulated clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.business.catalog_rules import Arms
from features.errors import InvalidSetting
from features.ledger import tables
from serving.cli.simulation.play import PairResult, play_on_server
from serving.policies.arms import arm_of
from tests.commands import nba_in_process
from tests.server import free_port, ledger_of, running
from tests.simulated_home import make_home
from training.simulation.businesses import TELEPHONE

CUSTOMERS, DAYS, SHARE, SEED = 60, 6, 0.25, 1


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    env = make_home(folder, TELEPHONE, CUSTOMERS, SEED, SHARE, nba_in_process)
    with running(folder / "home", env) as server:
        url = f"http://127.0.0.1:{server.port}"
        found = play_on_server(TELEPHONE, url, CUSTOMERS, DAYS, SEED)
        again = play_on_server(TELEPHONE, url, CUSTOMERS, DAYS, SEED, connections=1)
        with pytest.raises(InvalidSetting) as other:
            play_on_server(TELEPHONE, url, CUSTOMERS, DAYS, SEED + 1)
        ready = server.get("/readyz")[1]
        with ledger_of(folder / "home") as ledger:
            decided = ledger.read(
                lambda c: c.execute(
                    sa.select(tables.decisions.c.customer_id, tables.decisions.c.decided_at)
                ).all()
            )
        yield found, again, other.value, ready, decided


@pytest.mark.server
def test_the_arms_are_those_of_the_hash(played):
    found = played[0]
    met = np.flatnonzero(found.arm != "")
    arms = Arms(random=SHARE, nobody=SHARE)
    assert len(met) > CUSTOMERS / 2
    assert [arm_of(TELEPHONE.customer_id(int(one)), arms) for one in met] == [*found.arm[met]]
    assert {*found.arm[met]} == {"policy", "random", "nobody"}


@pytest.mark.server
def test_caps_hold_and_the_world_allows_whatever_the_server_shows(played):
    found = played[0]
    assert found.decisions == len(played[4]) > CUSTOMERS
    assert found.refused == found.caps_broken == 0


@pytest.mark.server
def test_the_value_of_each_arm_is_the_same_in_the_world_and_in_the_ledger(played):
    found = played[0]
    arms = {one["arm"]: one for one in found.lift["arms"]}
    assert found.value_of_customer.any()
    for arm, told in arms.items():
        members = found.arm == arm
        assert told["customers"] == members.sum()
        assert told["value"] == pytest.approx(found.value_of_customer[members].mean())
        assert told["left"] == pytest.approx(found.left[members].mean())


@pytest.mark.server
def test_days_pass_on_the_clock_of_the_server(played):
    ready, decided = played[3], played[4]
    assert ready["clock"] == "simulated"
    times = sorted(at.replace(tzinfo=UTC) for _, at in decided)
    begin = times[0].replace(hour=0, minute=0, second=0, microsecond=0)
    assert {(at - begin).days for at in times} == {*range(DAYS)}
    assert all(9 <= at.hour <= 21 and at.minute == 0 for at in times)
    last = begin + timedelta(days=DAYS - 1, hours=23, minutes=50)
    assert datetime.fromisoformat(ready["now"]) == last
    assert datetime.fromisoformat(ready["settled_until"]) == last


@pytest.mark.server
def test_run_again_it_goes_on_where_it_was_and_counts_nothing_twice(played):
    found, again = played[:2]
    assert again.decisions == found.decisions
    assert [*again.arm] == [*found.arm]
    np.testing.assert_array_equal(again.value_of_customer, found.value_of_customer)
    assert again.lift["arms"] == found.lift["arms"]


@pytest.mark.server
def test_a_server_that_has_met_other_customers_is_refused(played):
    assert "has met" in str(played[2]) and "Start it with a home of its own" in str(played[2])


def test_an_address_where_nobody_answers_says_what_to_do():
    with pytest.raises(InvalidSetting, match="does not answer .* Expected a started server"):
        play_on_server(TELEPHONE, f"http://127.0.0.1:{free_port()}", 5, 1, seed=1)


def test_the_interval_of_all_looks_holds_the_truth_or_not():
    pair = PairResult("policy", "nobody", {"low": -1.0, "high": 2.0}, true=2.0)
    assert pair.holds and not replace(pair, true=2.1).holds
    assert replace(pair, reported={"low": None, "high": None}).holds is None
    assert replace(pair, reported=None).holds is None
