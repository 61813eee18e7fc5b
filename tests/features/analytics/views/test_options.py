"""Tests the options of relations: they go to JSON and come back, and mistakes are named."""

from __future__ import annotations

import json

import pytest

from features.analytics.views.funnels.funnel_definition import FunnelDefinition
from features.analytics.views.options import read_options, told_options
from features.errors import InvalidRequest


def test_options_come_back_from_json() -> None:
    content = {"steps": [{"step": "a"}, {"stage": "use", "within_days": 2.0, "optional": False}]}
    definition = FunnelDefinition.model_validate(content)
    told = told_options(definition)
    assert told == {"steps": [{"step": "a"}, {"stage": "use", "within_days": 2.0}]}
    assert read_options(FunnelDefinition, json.loads(json.dumps(told))) == definition


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"options.steps.0.within_days is -1: .*options steps"):
        read_options(FunnelDefinition, {"steps": [{"step": "a", "within_days": -1}]})
    with pytest.raises(InvalidRequest, match=r"options.funnel is 1: Extra inputs"):
        read_options(FunnelDefinition, {"steps": [{"step": "a"}], "funnel": 1})
