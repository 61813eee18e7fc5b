"""Tests the actions of the telephone company."""

from __future__ import annotations

import pytest

from features.business.domain import load_domain
from features.settings import PACKAGE
from serving.catalog.compiled_catalog import load_catalog
from training.simulation.telephone.actions import ACTIONS, FATIGUE_PER_CONTACT

DOMAINS = PACKAGE / "domains"


def test_every_action_but_no_action_adds_fatigue():
    assert (FATIGUE_PER_CONTACT[1:] > 0).all() and FATIGUE_PER_CONTACT[0] == 0


@pytest.mark.parametrize("action", ACTIONS[1:], ids=lambda action: action.name)
def test_the_catalogue_has_the_same_cost_kind_and_channels(action):
    catalog = load_catalog(DOMAINS / "world.actions.yaml", load_domain(DOMAINS / "world.yaml"))
    given = catalog.actions[action.name]
    assert given.cost == action.cost_eur
    assert catalog.group_of(given).kind == action.kind
    assert set(given.treatments) == set(action.channels)
