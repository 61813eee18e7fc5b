"""Tests the refusals of the steps that need models, and the steps on a home without decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.errors import InvalidData, InvalidSetting, ModelMissing
from serving.cli import steps
from tests.commands import environment

DAY = datetime(2026, 11, 1, tzinfo=UTC)


def no_report(step: str, done: int, total: int) -> None:
    pass


@pytest.fixture(autouse=True)
def _settings(shop):
    with environment(shop.env):
        yield


def test_a_model_that_the_business_does_not_define_is_refused():
    with pytest.raises(InvalidSetting, match="model is 'weather'. Expected one of bandit"):
        list(steps.train_models("weather", promote=False, report=no_report))


@pytest.mark.parametrize("model", ["churn", None])
def test_only_the_bandit_is_trained_until_a_day(model):
    with pytest.raises(InvalidSetting, match=r"until is 2026-11-01.* Say 'nba train bandit"):
        list(steps.train_models(model, promote=False, report=no_report, until=DAY))


def test_every_model_of_a_new_home_is_without_champion():
    assert steps.models_without_champion() == ["bandit"]


def test_the_catalogue_of_the_settings_is_compiled():
    assert list(steps.compile_catalog().catalog.actions) == ["hello"]


@pytest.mark.parametrize("until", [DAY, DAY - timedelta(days=1)])
def test_a_period_that_ends_before_it_begins_is_refused(until):
    with pytest.raises(InvalidSetting, match="not after since"):
        steps.compute_lift(DAY, until)


def test_the_lift_of_no_decisions_is_unknown():
    found = steps.compute_lift(None, None).credited
    assert (found.policy.decisions, found.random.decisions) == (0, 0)


def test_a_policy_that_the_registry_does_not_have_cannot_be_evaluated():
    with pytest.raises(ModelMissing):
        steps.evaluate_request("challenger", None, None, None, 10, no_report)


def test_imported_decisions_cannot_be_judged_before_features_are_built(ledger, toy_domain):
    class Store:
        problem: str | None = "the feature registry is empty; run 'nba build'"

        def why_unusable(self) -> str | None:
            return self.problem

    store = Store()
    with pytest.raises(InvalidData, match="registry is empty.*Run 'nba build', then 'nba eval"):
        steps.history_of(ledger, store, toy_domain)
    store.problem = None
    assert steps.history_of(ledger, store, toy_domain) is not None


def test_of_no_decisions_none_is_replayed():
    assert list(steps.replay_decisions(None, None, "now", None, no_report)) == []
