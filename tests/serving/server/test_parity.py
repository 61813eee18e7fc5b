"""Serving and training read the same features: real events, live over HTTP and in bulk.

The harness, and the whole list of seeded bugs, are in `tests/parity.py`.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime

import numpy as np
import pytest
import sqlalchemy as sa

from features.ledger import tables
from tests.conftest import Built
from tests.parity import (
    CONTROLS,
    DESK_DATA,
    LATE,
    MUTATIONS,
    ROOT,
    SEED,
    TWICE,
    Compared,
    compare,
    differences,
    frame_at,
    grocery,
    helpdesk,
    home_of,
    interleaved,
    live,
    moments_of,
    prepared,
)

pytestmark = pytest.mark.server
PATHS = ("live", "batch")
TRIED = {
    path: random.Random(SEED).choice([m for m in MUTATIONS if m.path == path]) for path in PATHS
}
CUSTOMERS = 40  # of a trial with a bug


@pytest.fixture(scope="module")
def grocers(grocer: Built, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    source = grocer.home / "sources" / "completejourney"
    business = grocery(source, 8000, datetime.now(UTC))
    return compare(business, tmp_path_factory.mktemp("parity"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    if not DESK_DATA.exists():
        pytest.skip(f"{DESK_DATA.name} is not in the folder shared/data beside the project")
    return compare(helpdesk(2500, datetime.now(UTC)), tmp_path_factory.mktemp("desk"))


@pytest.fixture(params=["grocers", "desk"])
def compared(request: pytest.FixtureRequest) -> Compared:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Compared)
    return found


def test_every_feature_of_every_customer_is_the_same_live_and_in_batch(compared):
    assert compared.differences == []
    assert {*compared.served.index} == {*compared.business.events}


def test_what_was_served_is_what_training_finds_in_the_history_of_the_same_home(compared):
    assert compared.in_its_own_history() == []


def test_what_was_served_is_what_training_finds_though_half_of_the_events_came_later(
    compared, tmp_path, monkeypatch
):
    early, late = compared.business.halves(15)
    home = prepared(tmp_path, early)
    served = live(home, early, interleaved(early))
    live(home, late, interleaved(late))  # the decisions are there: they are not made again
    env, moments = home_of(home, early), moments_of(served)
    assert differences(served, frame_at(env, moments)) == []
    assert frame_at(env, moments.assign(event_timestamp=datetime.now(UTC)))["events_n"].sum() == (
        early.total + late.total
    )
    # The planted leak: each event counts from the time at which it occurred.
    occurred = sa.type_coerce(tables.events.c.occurred_at, sa.BigInteger)
    monkeypatch.setattr("features.datasets.point_in_time.KNOWN_AT", occurred)
    assert any("events_n" in one for one in differences(served, frame_at(env, moments)))


def test_the_events_came_late_and_twice_as_often_as_promised(compared):
    total = compared.business.total
    assert total >= {"grocery": 8000, "helpdesk": 2500}[compared.business.name]
    assert compared.traffic.late >= LATE * total
    assert compared.traffic.twice >= round(TWICE * total)
    sizes = [len(call) for call in compared.traffic.calls]
    assert max(sizes) <= 100 and len(set(sizes)) > 20


def test_the_features_compared_are_those_of_all_events(compared):
    """Two empty frames would be equal as well."""
    known = compared.known
    assert known["events_n"].sum() == compared.business.total
    told = np.isfinite(known.to_numpy()).any(axis=0).mean()
    assert told > 0.3, "hardly any feature has a value"
    if compared.business.name == "helpdesk":
        assert (known["account_events_n"] >= known["events_n"]).all()
        assert (known["account_events_n"] > known["events_n"]).any()


def test_each_planted_mutation_changes_one_place_of_the_code():
    planted = (*CONTROLS, *MUTATIONS)
    assert [one for one in planted if (ROOT / one.file).read_text().count(one.old) != 1] == []


@pytest.mark.parametrize("path", PATHS)
def test_a_bug_of_one_line_in_one_path_is_noticed(grocers, tmp_path, path):
    assert grocers.noticed(TRIED[path], tmp_path, CUSTOMERS), f"unnoticed: {TRIED[path]}"
