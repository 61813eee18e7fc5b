"""The engine of the toy business, with fakes around it and a real ledger under it."""

from __future__ import annotations

import pytest

from serving.decide.engine import Engine
from tests.serving.fakes import EXPECTED, PLUS, FakeModels, changed, engine_of


@pytest.fixture
def engine(toy_domain, toy_catalog, ledger) -> Engine:
    # Nobody in the control group: these tests are about the policy.
    catalog = changed(toy_catalog, arms={"random": 0, "nobody": 0})
    return engine_of(catalog, toy_domain, ledger, {"c1": PLUS}, FakeModels(EXPECTED))
