"""The decision context holds a value, or unknown, for each name that a condition may use."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features.business.event_types import STAGES
from features.errors import InvalidRequest
from features.journeys.model_input import ModelInput
from serving.catalog.decision_context import ContextReader, RequestContext
from tests.serving.fakes import changed

SUNDAY = datetime(2026, 11, 22, 10, 30, tzinfo=ZoneInfo("Europe/Rome"))
KEYS = {
    "page": {"type": "text"},
    "cart_eur": {"type": "number"},
    "new": {"type": "truth"},
}


@pytest.fixture
def model_input(toy_domain) -> ModelInput:
    return ModelInput(toy_domain)


@pytest.fixture
def reader(toy_domain, toy_catalog, model_input) -> ContextReader:
    catalog = changed(toy_catalog, context=KEYS, purposes={"marketing": {}})
    return ContextReader(toy_domain, catalog, model_input)


@pytest.fixture
def row(model_input) -> np.ndarray:
    return np.array(model_input.read({"plan": "plus", "age_years": "41"}, None, 0.0))


def request(**fields: object) -> RequestContext:
    given = {
        "channel": "app",
        "placement": None,
        "context": {},
        "known": True,
        "churn": None,
        "intent": None,
        "consents": {},
        "local": SUNDAY,
    }
    return RequestContext(**(given | fields))


def test_each_name_has_its_value(reader, row):
    found = reader.read(
        row,
        request(
            placement="home",
            context={"page": "offers", "cart_eur": 17.5, "new": True},
            churn=0.25,
            intent={"small": 0.2, "big": 0.8},
            consents={"marketing": True},
        ),
    )
    values = {name: found.value(name, reader.names) for name in reader.names.kinds}
    expected = {
        "plan": "plus",
        "age_years": 41,
        "channel": "app",
        "placement": "home",
        "context_page": "offers",
        "context_cart_eur": 17.5,
        "context_new": 1,
        "churn": 0.25,
        "intent": "big",
        "intent_big": 0.8,
        "consent_marketing": 1,
        "known": 1,
        "hour": 10.5,
        "weekday": 7,
    }
    assert {name: values[name] for name in expected} == expected


def test_a_missing_value_is_unknown_and_a_missing_consent_is_none(reader, model_input):
    stranger = np.array(model_input.read({}, None, 0.0))
    found = reader.read(stranger, request(known=False))
    unknown = ["plan", "age_years", "placement", "context_page", "context_cart_eur", "churn"]
    for name in [*unknown, "intent", "intent_big", "stage"]:
        assert found.value(name, reader.names) is None, name
    assert found.value("consent_marketing", reader.names) == 0
    assert found.value("known", reader.names) == 0


def test_the_stage_is_that_of_the_open_journey_with_the_latest_event(reader, model_input, row):
    at = {name: index for index, name in enumerate(model_input.names)}
    assert reader.stage(row) is None
    for journey, stage, days in (("use", "use", 3.0), ("purchase", "action", 1.0)):
        row[at[f"journey_{journey}_stage"]] = STAGES.index(stage)
        row[at[f"journey_{journey}_stage_days"]] = days
    assert reader.stage(row) == "action"


def test_the_stages_are_those_of_the_domain_file(toy_domain, toy_catalog, model_input, row):
    domain = toy_domain.model_copy(update={"stages": ("action", "use")})
    reader = ContextReader(domain, toy_catalog, model_input)
    assert reader.names.values["stage"] == ("action", "use")
    at = {name: index for index, name in enumerate(model_input.names)}
    row[at["journey_use_stage"]], row[at["journey_use_stage_days"]] = 1.0, 3.0
    assert reader.stage(row) == "use"


def test_only_described_keys_of_a_context_are_kept(reader):
    assert reader.context({"page": "offers", "cart_eur": None, "other": [1]}) == {"page": "offers"}


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("page", 1, "text"),
        ("cart_eur", "17", "number"),
        ("cart_eur", True, "number"),
        ("new", 1, "truth"),
    ],
)
def test_a_key_of_another_type_is_refused_by_name(reader, key, value, kind):
    with pytest.raises(InvalidRequest, match=rf"context\.{key} is .* Expected a {kind}"):
        reader.context({key: value})


def test_a_long_value_of_a_context_is_not_repeated_whole_in_the_refusal(reader):
    with pytest.raises(InvalidRequest) as caught:
        reader.context({"cart_eur": "x" * 16_000})
    assert len(str(caught.value)) < 200


def test_two_values_cannot_share_a_name(toy_domain, toy_catalog, model_input):
    attribute = toy_domain.attributes["age_years"]
    attributes = toy_domain.attributes | {"context_page": attribute}
    domain = toy_domain.model_copy(update={"attributes": attributes})
    catalog = changed(toy_catalog, context=KEYS)
    with pytest.raises(ValueError, match="context_page would mean two things"):
        ContextReader(domain, catalog, ModelInput(domain))
