"""The simulated businesses agree with their domain files."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.domain import load_domain
from features.settings import PACKAGE
from serving.catalog.compiled_catalog import load_catalog
from tests.training.simulation.play import uniform_action
from training.simulation.businesses import BUSINESSES

EACH = pytest.mark.parametrize("business", BUSINESSES.values(), ids=lambda one: one.name)
DOMAINS = PACKAGE / "domains"


@EACH
def test_the_catalogue_has_the_same_actions_costs_kinds_channels_and_caps(business):
    domain = load_domain(DOMAINS / f"{business.domain}.yaml")
    catalog = load_catalog(DOMAINS / f"{business.domain}.actions.yaml", domain)
    shown_on = {channel for one in catalog.actions.values() for channel in one.treatments}
    # On others, such as the network, the service is told of events only.
    assert tuple(one for one in domain.channels if one in shown_on) == business.channels
    assert tuple(catalog.actions) == business.names[1:]
    for action in business.actions[1:]:
        given = catalog.actions[action.name]
        assert (given.cost, catalog.group_of(given).kind) == (action.cost_eur, action.kind)
        assert set(given.treatments) == set(action.channels)
    caps = catalog.contact_policy.caps
    assert [(cap.at_most, cap.days) for cap in caps] == [
        (cap.at_most, cap.days) for cap in business.caps
    ]


@EACH
def test_the_events_and_customers_of_a_world_are_those_of_the_domain(business):
    domain = load_domain(DOMAINS / f"{business.domain}.yaml")
    world, rng = business.make_world(150, 3, 45), np.random.default_rng(1)
    table = world.customers()
    assert set(table.columns) == {"customer_id", *domain.attributes}
    assert table["customer_id"].tolist() == [business.customer_id(c) for c in range(150)]
    told = set()
    for _ in range(45):
        arrivals = world.begin_day()
        events = world.events()
        assert len(world.sent()) == len(arrivals.customer)
        world.act(uniform_action(arrivals, rng))
        world.end_day()
        for event in [*events, *world.late_events()]:
            told.add(event.type)
            properties = domain.events[event.type].properties
            assert set(event.properties) <= set(properties) and event.channel in domain.channels
            required = {name for name, one in properties.items() if one.required}
            assert required <= set(event.properties)
            assert 0 <= event.customer < 150
    assert len(told) >= 5
