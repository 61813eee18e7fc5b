"""Imports Feast without typeguard, and loads its definitions."""

import importlib

import pytest
import typeguard

from features.store.feast_import import load_definitions


def test_the_definitions_name_the_views_of_the_business(monkeypatch, store):
    definitions = load_definitions()
    views = {view.name for view in (definitions.customer_profile, definitions.customer_journey)}
    assert views == {"customer_profile", "customer_journey"}


def test_feast_is_imported_without_checks_of_types_and_others_keep_theirs(store):
    feast = importlib.import_module("feast")  # the gateway has; here it is only looked at
    for kind in (feast.Entity, feast.FeatureView, feast.FeatureService):
        assert "typeguard" not in kind.__init__.__code__.co_names

    @typeguard.typechecked
    def halved(number: int) -> float:
        return number / 2

    with pytest.raises(typeguard.TypeCheckError):
        halved("4")
