"""One policy is played in one world."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from features.business.domain import load_domain
from features.settings import PACKAGE, actions_beside
from serving.catalog.compiled_catalog import load_catalog
from serving.simulation.played import ACCEPTANCE, CHANGES, NOBODY_OF, SERVED, Game
from training.simulation.baselines import FixedPolicy, OraclePolicy
from training.simulation.businesses import TELEPHONE


def test_a_baseline_chooses_for_all_customers():
    found = Game("telephone", "nobody", 50, 4, 2, FixedPolicy("nobody")).played()
    assert found.served is None and found.members.all()
    assert found.run.shown[1:].sum() == 0


def test_the_oracle_gets_the_world_of_its_game():
    oracle = Game("telephone", "oracle", 50, 4, 2, OraclePolicy()).played()
    assert oracle.run.shown.sum() > 0


def test_the_served_classes_choose_for_the_arm_policy():
    days = []
    game = Game("telephone", SERVED, 80, 3, 2, arms=0.4)
    found = game.played(lambda name, day, total: days.append((name, day, total)))
    assert days == [(SERVED, day, 3) for day in (1, 2, 3)]
    assert found.served.decisions == found.run.shown.sum()
    assert 0 < found.members.sum() < 40
    np.testing.assert_array_equal(found.members, found.served.arm == 0)


def test_where_everybody_is_in_the_arm_nobody_only_service_is_shown():
    # By acceptance: by value, services are not worth their cost before they are learned.
    alone = Game("telephone", NOBODY_OF[ACCEPTANCE], 80, 5, 4).played()
    service = {number for number, one in enumerate(TELEPHONE.actions) if one.kind == "service"}
    assert 0 in {*np.flatnonzero(alone.run.shown)} <= service | {0}
    assert (alone.served.arm == 2).all() and alone.run.shown[1:].any()


def test_a_customer_of_the_arm_nobody_lives_as_if_everybody_was_in_it():
    """So the true lift is that of the policy: also the service actions are those of the arm."""
    mixed = Game("shop", ACCEPTANCE, 40, 6, 5, arms=0.4).played()
    values = mixed.run.value_of_customer_eur[mixed.served.arm == 2]
    alone, other = (
        Game("shop", NOBODY_OF[name], 40, 6, 5).played().run.value_of_customer_eur
        for name in (ACCEPTANCE, SERVED)
    )
    assert len(values) > 10
    np.testing.assert_array_equal(values, alone[mixed.served.arm == 2])
    assert (values != other[mixed.served.arm == 2]).any()


def test_acceptance_only_looks_at_no_value():
    served, acceptance = (
        Game("telephone", name, 150, 4, 2).played() for name in (SERVED, ACCEPTANCE)
    )
    helpful = [6, 7]  # accepted most, worth least
    assert acceptance.run.shown[helpful].sum() > served.run.shown[helpful].sum()


@pytest.mark.parametrize("on", [True, False])
def test_circles_are_not_looked_for_during_a_game_only(on):
    was, seen = gc.isenabled(), []
    try:
        (gc.enable if on else gc.disable)()
        Game("telephone", "nobody", 20, 2, 2, FixedPolicy("nobody")).played(
            lambda *_: seen.append(gc.isenabled())
        )
        assert seen == [False, False] and gc.isenabled() == on
    finally:
        (gc.enable if was else gc.disable)()


@pytest.mark.parametrize("world", ["world", "shop"])
def test_the_rival_that_counts_acceptances_learns_no_effects_and_tries_none_out(world):
    path = PACKAGE / "domains" / f"{world}.yaml"
    served = load_catalog(actions_beside(path), load_domain(path))
    assert served.pays_effects and served.least_no_action > 0
    for name in (ACCEPTANCE, NOBODY_OF[ACCEPTANCE]):
        rival = served.with_parts(**CHANGES[name])
        assert (rival.objective, rival.least_no_action, rival.exploration) == ("acceptance", 0, 1)
