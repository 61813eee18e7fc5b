"""A catalogue of one action, for tests of its priority."""

from __future__ import annotations

import pytest

from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import CompiledCatalog
from tests.serving.fakes import changed

ACTION = {
    "issue": "keep",
    "group": "promotion",
    "value": 8.0,
    "cost": 0.45,
    "prior": {"acceptance": 0.1},
    "attribution_days": 7,
    "treatments": {"app": {"title": "Ten percent off"}},
}


@pytest.fixture
def book(toy_domain, toy_catalog):
    """A compiled catalogue of one action, with other content at some keys."""

    def made(arbitration=None, **action):
        parts = {"actions": {"offer": ACTION | action}, "arbitration": arbitration or {}}
        return CompiledCatalog(changed(toy_catalog, **parts), toy_domain, ModelInput(toy_domain))

    return made
