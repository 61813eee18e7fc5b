"""Events tell the changes of the reported journeys, and who left."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.domain import load_domain
from features.settings import GROCERY
from training.simulation.baselines import RandomPolicy
from training.simulation.business import LEAVING_MINUTE, MORNING_MINUTE
from training.simulation.businesses import TELEPHONE
from training.simulation.rollout import run_policy
from training.simulation.telephone.actions import NEEDS
from training.simulation.telephone.customer_state import STAGES
from training.simulation.telephone.told_events import leaving_events
from training.simulation.telephone.world import TelephoneWorld

DEPTHS = ("depth_data", "depth_device", "depth_fun", "depth_family")


def test_calls_scores_and_questions_are_those_of_the_state():
    world = TelephoneWorld(600, 5, 3)
    arrivals = world.begin_day()
    told = {}
    for event in world.events():
        told.setdefault(event.type, []).append(event)
    state = world.state
    assert [e.customer for e in told["call"]] == np.flatnonzero(state.called).tolist()
    assert [e.customer for e in told["chat"]] == np.flatnonzero(state.support_open).tolist()
    scores = {e.customer: e.properties["score"] for e in told["nps"]}
    assert sorted(scores) == np.flatnonzero(state.answered).tolist()
    assert all(abs(score - 5 - 5 * state.nps[one]) <= 0.5 for one, score in scores.items())
    assert set(scores.values()) <= set(range(11))  # a survey has whole numbers
    assert {e.customer for e in told["page_view"]} <= set(arrivals.customer.tolist())


def test_leaving_is_told_last():
    events = list(leaving_events(np.array([False, True, False, True])))
    assert [(e.customer, e.type, e.minute) for e in events] == [
        (1, "left", LEAVING_MINUTE),
        (3, "left", LEAVING_MINUTE),
    ]


def test_the_use_of_each_active_customer_is_told_every_second_morning():
    world = TelephoneWorld(7, 5, 3)
    told = []
    for day in range(3):
        world.begin_day()
        world.state.active[4] = False
        world.state.usage[:] = [0.12345, -1.98765, 0.5, 2.0, 3.0, -0.0001, 1.0]
        for event in world.events():
            if event.type == "usage":
                assert (event.channel, event.minute) == ("network", MORNING_MINUTE)
                told.append((day, event.customer, event.properties["level"]))
        world.end_day()
    even = [(0, 0.123), (2, 0.5), (6, 1.0)]
    odd = [(1, -1.988), (3, 2.0), (5, 0.0)]
    assert told == [(day, *one) for day in range(3) for one in (odd if day == 1 else even)]


def test_a_page_view_tells_what_is_bought_and_how_far_the_purchase_has_come():
    world, seen = TelephoneWorld(900, 5, 12), set()
    for _ in range(12):
        arrivals = world.begin_day()
        stage, need = world.state.stage, world.state.need
        views = [event for event in world.events() if event.type == "page_view"]
        for view in views:
            depths = {name: view.properties[name] for name in view.properties if name != "page"}
            one = view.customer
            assert depths == ({f"depth_{NEEDS[need[one]]}": stage[one]} if stage[one] else {})
            seen |= {*depths.items()}
        world.act(np.zeros(len(arrivals.customer), dtype=np.int64))
        world.end_day()
    assert seen == {(name, stage) for name in DEPTHS for stage in range(1, STAGES + 1)}


def test_the_domain_file_allows_each_stage_of_each_purchase():
    known = load_domain(GROCERY.parent / "world.yaml").events["page_view"].properties
    assert [*known] == ["page", *DEPTHS]
    assert all((known[name].min, known[name].max) == (0, STAGES) for name in DEPTHS)


class Asking:
    """The random policy, which reads the events before each decision."""

    name = "asking"

    def __init__(self, world):
        self._world, self.contexts = world, 0.0

    def choose(self, arrivals, uniform):
        self._world.events()
        self.contexts += arrivals.contexts.sum()
        return RandomPolicy().choose(arrivals, uniform)

    def end_day(self, actions, outcomes):
        self._world.late_events()


def test_the_world_is_as_it_was_before_use_and_depth_were_told():
    """The figures are those of the commit before."""
    world = TELEPHONE.make_world(400, 12, 15)
    policy = Asking(world)
    result = run_policy(TELEPHONE, policy, world, 12)
    assert result.value_of_customer_eur.sum() == pytest.approx(-2603.16, rel=1e-12)
    assert policy.contexts == pytest.approx(22311.34673966835, rel=1e-9)
    assert result.left.sum() == 38
    assert result.shown.tolist() == [395, 255, 242, 233, 183, 185, 166, 233]
