"""The values to choose from: the filter takes each of them."""

from __future__ import annotations

from typing import Any

import pytest

from features.analytics.views.choices import filter_choices
from features.analytics.views.filters import JourneyFilter, filtered
from features.business.domain import Domain, load_domain
from tests.commands import ROOT
from tests.journey_logs import journeys_of


@pytest.mark.parametrize("name", ["grocery", "helpdesk", "telco"])
def test_the_filter_takes_each_value(name):
    domain: Domain = load_domain(ROOT / "features" / "domains" / f"{name}.yaml")
    with journeys_of(domain, []) as data:
        found = filter_choices(domain, data.nodes)
        wanted: list[dict[str, Any]] = [{"map": one} for one in found.maps]
        wanted += [{"entry_channel": (one,)} for one in found.channels]
        wanted += [{"persona": (one,)} for one in found.personas]
        wanted += [{"how": (one,)} for one in found.hows]
        wanted += [{"attributes": {one: values}} for one, values in found.attributes.items()]
        for one in wanted:
            assert filtered(data, JourneyFilter.model_validate(one))
    assert bool(found.personas) == bool(domain.personas) and "lifecycle" in found.maps
