"""The watcher serves champions, else priors, and says in a sentence what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from serving.models.watcher import ModelWatcher
from tests.serving.fake_registry import (
    LEARNED,
    PARAMS,
    PRIORS,
    a_bandit,
    a_classifier,
    accepted,
    publish,
    save_former_bandit,
)

NONE_YET = "no champion in MLflow; run 'nba train --promote'"


# Without models --------------------------------------------------------------------------------


def test_without_champions_it_decides_from_priors_and_says_so(watcher, row):
    watcher.refresh()
    now = watcher.current
    assert now.churn(row) is None
    assert now.intent(row) is None
    assert accepted(now, row) == pytest.approx(PRIORS)
    assert now.versions == {"churn": None, "intent": None, "bandit": None}
    assert now.degraded == tuple(f"{name}: {NONE_YET}" for name in ("churn", "intent", "bandit"))


# Two that differ by 2.6 +- 1: the worse one is the best once in 215 times.
CLOSE = np.array([2.6, 0.0]), np.array([0.6, 0.8])


def test_without_a_bandit_what_is_too_rarely_the_best_is_that_of_the_params(watcher):
    watcher.refresh()
    chances = watcher.current.probabilities(*CLOSE)
    assert chances == pytest.approx([0.9953, 0.0047], abs=1e-4)


def test_it_can_be_asked_before_its_first_refresh(watcher, row):
    assert accepted(watcher.current, row, "phone") == pytest.approx(PRIORS)


def test_a_business_without_churn_misses_no_churn_model(registry, ledger, toy_domain, toy_catalog):
    plain = toy_domain.model_copy(update={"churn": None, "intent": None})
    watcher = ModelWatcher(registry, ledger, plain, toy_catalog, PARAMS)
    watcher.refresh()
    assert watcher.current.versions == {"bandit": None}
    assert watcher.current.degraded == (f"bandit: {NONE_YET}",)


# Champions -------------------------------------------------------------------------------------


def test_the_files_of_the_bandit_that_serves_are_known(watcher, registry):
    watcher.refresh()
    assert watcher.champion_files is None
    registry.promote("bandit", "2", a_bandit())
    watcher.refresh()
    assert watcher.champion_files == ("2@run-of-t", registry.root / "bandit" / "2")


def test_champions_serve_under_their_versions(watcher, registry, churn, toy_domain, row):
    intent = a_classifier(ModelInput(toy_domain).names, toy_domain.intents)
    registry.promote("churn", "3", churn)
    registry.promote("intent", "2", intent)
    registry.promote("bandit", "7", a_bandit())
    assert watcher.refresh()
    now = watcher.current
    assert now.versions == {"churn": "3", "intent": "2", "bandit": "7"}
    assert now.degraded == ()
    assert now.churn(row) == churn.probabilities(row[None, :])[0, 1]
    assert list(now.intent(row)) == ["small", "big"]
    assert sum(now.intent(row).values()) == pytest.approx(1)
    assert accepted(now, row)["discount"] == pytest.approx(LEARNED)
    assert accepted(now, row)["call_back"] == pytest.approx(0.3)


def test_the_bandit_brings_its_own_params(watcher, registry):
    registry.promote("bandit", "7", a_bandit())
    watcher.refresh()
    assert watcher.current.probabilities(*CLOSE).tolist() == [1.0, 0.0]


def test_a_champion_that_a_former_program_has_written_serves(watcher, registry, row):
    save_former_bandit(registry.root / "bandit" / "7")
    registry.champions["bandit"] = "7"
    watcher.refresh()
    assert watcher.current.versions["bandit"] == "7"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)
    assert watcher.current.bandit.params == a_bandit().params


def test_a_version_is_read_once(watcher, registry, churn):
    registry.promote("churn", "3", churn)
    assert watcher.refresh()
    assert not watcher.refresh()
    assert registry.read == ["churn 3"]


def test_a_promotion_is_swapped_in_whole(watcher, registry, row):
    registry.promote("bandit", "7", a_bandit(accepted=1.0))
    watcher.refresh()
    before = watcher.current
    registry.promote("bandit", "8", a_bandit(accepted=0.0))
    assert watcher.refresh()
    assert watcher.current.versions["bandit"] == "8"
    assert accepted(watcher.current, row)["discount"] < 0.2
    # Who began with the old set ends with it.
    assert accepted(before, row)["discount"] == pytest.approx(LEARNED)


def test_a_champion_that_was_taken_away_no_longer_serves(watcher, registry, churn, row):
    registry.promote("churn", "3", churn)
    watcher.refresh()
    del registry.champions["churn"]
    assert watcher.refresh()
    assert watcher.current.churn(row) is None
    assert watcher.current.versions["churn"] is None
    assert f"churn: {NONE_YET}" in watcher.current.degraded


# What can go wrong -----------------------------------------------------------------------------


def test_while_mlflow_is_down_the_last_good_models_stay_and_a_sentence_says_so(
    watcher, registry, churn, row
):
    registry.promote("churn", "3", churn)
    registry.promote("bandit", "7", a_bandit())
    watcher.refresh()
    good = watcher.current.churn(row), accepted(watcher.current, row)
    registry.down = True
    assert watcher.refresh()
    assert (watcher.current.churn(row), accepted(watcher.current, row)) == good
    assert watcher.current.versions == {"churn": "3", "intent": None, "bandit": "7"}
    assert "bandit: MLflow does not answer. Expected an answer. Start it." in (
        watcher.current.degraded
    )
    registry.down = False
    assert watcher.refresh()
    assert watcher.current.degraded == (f"intent: {NONE_YET}",)


def test_down_from_the_beginning_it_decides_from_priors(watcher, registry, row):
    registry.down = True
    watcher.refresh()
    assert accepted(watcher.current, row) == pytest.approx(PRIORS)
    assert len(watcher.current.degraded) == 3


@pytest.mark.parametrize("names", [("age_years",), ("somebody", "elses", "features")])
def test_a_classifier_trained_on_other_features_is_refused_with_a_sentence(
    watcher, registry, names, row
):
    registry.promote("churn", "3", a_classifier(names, ("stay", "churn")))
    watcher.refresh()
    assert watcher.current.churn(row) is None
    assert watcher.current.versions["churn"] is None
    sentence = "churn: was trained for another domain file; run 'nba train --promote'"
    assert sentence in watcher.current.degraded


def test_an_incompatible_model_does_not_replace_the_good_one(watcher, registry, churn, row):
    registry.promote("churn", "3", churn)
    watcher.refresh()
    registry.promote("churn", "4", a_classifier(("other",), ("stay", "churn")))
    watcher.refresh()
    assert watcher.current.versions["churn"] == "3"
    assert watcher.current.churn(row) is not None
    assert "another domain file" in watcher.current.degraded[0]


def test_a_bandit_trained_on_other_features_is_refused_with_a_sentence(watcher, registry, row):
    registry.promote("bandit", "7", a_bandit(features=("somebody_elses",)))
    watcher.refresh()
    assert accepted(watcher.current, row) == pytest.approx(PRIORS)
    sentence = "bandit: was trained for another domain file; run 'nba train --promote'"
    assert sentence in watcher.current.degraded


def test_an_incompatible_bandit_does_not_replace_the_good_one_nor_its_snapshots(
    watcher, registry, ledger, now, row
):
    registry.promote("bandit", "6", a_bandit())
    mine = publish(ledger, now, "6", a_bandit(accepted=1.0))
    watcher.refresh()
    registry.promote("bandit", "7", a_bandit(features=("somebody_elses",)))
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"6.{mine}"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)


def test_a_registry_made_anew_is_not_taken_for_the_old_one(watcher, registry, ledger, now, row):
    registry.promote("bandit", "1", a_bandit(accepted=0.5))
    publish(ledger, now, "1@anotherrun", a_bandit(accepted=1.0))
    watcher.refresh()
    assert watcher.current.versions["bandit"] == "1"


def test_files_that_cannot_be_read_cost_their_model_only(watcher, registry, churn, row):
    registry.promote("churn", "3", churn)
    registry.champions["bandit"] = "7"  # and no files
    watcher.refresh()
    assert watcher.current.churn(row) is not None
    assert accepted(watcher.current, row) == pytest.approx(PRIORS)
    broken = "bandit: the champion could not be read (FileNotFoundError)"
    assert broken in watcher.current.degraded
