"""Tests the parts that every simulated business has."""

from __future__ import annotations

from training.simulation.businesses import TELEPHONE


def test_a_business_knows_its_names_costs_and_customers():
    assert TELEPHONE.names[0] == "no_action" and TELEPHONE.costs[0] == 0
    assert len(TELEPHONE.names) == len(TELEPHONE.costs) == len(set(TELEPHONE.names))
    assert TELEPHONE.customer_id(7) == "w7"
