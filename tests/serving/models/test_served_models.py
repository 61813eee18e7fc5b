"""The models that serve are champions, the learner's newest version, or priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.journeys.model_input import ModelInput
from features.ledger.ledger import Ledger
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.decision_setup import DecisionSetup
from serving.models import snapshots
from serving.models.served_models import ServedModels
from serving.models.watcher import ModelWatcher
from tests.bandits import PLAIN, bandit, outcomes
from training.bandit.artifact import Bandit
from training.bandit.encoder import Encoder
from training.models.classifier import Classifier, fit_classifier, forward_splits
from training.params import ClassifierParams, TrainingParams
from training.pipeline.registry import RegistryDown, Version

CLASSIFIER = ClassifierParams(service="unused", lightgbm={"rounds": 1})
PARAMS = TrainingParams(
    seed=7,
    churn=CLASSIFIER,
    intent=CLASSIFIER,
    bandit=PLAIN,
)
PRIORS = {"call_back": 0.3, "discount": 0.2, "talk_plus": 0.1}
RUN = "run-of-this-registry"
NONE_YET = "no champion in MLflow; run 'nba train --promote'"


@dataclass
class FakeRegistry:
    """Champions as folders under a root; notes which were read."""

    root: Path
    champions: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    down: bool = False

    def champion(self, name: str) -> Version | None:
        if self.down:
            raise RegistryDown("MLflow does not answer.", expected="an answer", remedy="Start it.")
        number = self.champions.get(name)
        return Version(name, number, (), "passed", RUN) if number else None

    def folder(self, version: Version) -> Path:
        self.read.append(f"{version.name} {version.version}")
        return self.root / version.name / version.version

    def promote(self, name: str, number: str, model: Classifier | Bandit) -> None:
        model.save(self.root / name / number)
        self.champions[name] = number


def a_classifier(names: Sequence[str], classes: tuple[str, ...]) -> Classifier:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(200, len(names))), np.arange(200) % len(classes)
    splits = forward_splits(np.zeros(200, dtype=np.int64), 1, seed=4)
    return fit_classifier(x, y, splits, tuple(names), classes, {"rounds": 2}, seed=4)


def a_bandit(
    accepted: float = 1.0, features: tuple[str, ...] = ("age_years",), n: int = 10
) -> Bandit:
    """Saw ``n`` discounts in the app, all accepted alike, at the center of its features."""
    width = len(features)
    encoder = Encoder(features, ("app", "phone"), np.zeros(width), np.ones(width))
    told = outcomes(np.zeros((n, width)), ["app"] * n, ["discount"] * n, [accepted] * n)
    return bandit(encoder, told, PLAIN.model_copy(update={"min_probability": 0.05}))


def accepted(models: ServedModels, row: np.ndarray, channel: str = "app") -> dict[str, float]:
    """The predicted acceptance of each action."""
    return dict(
        zip(models.reward.actions, models.predict(row, channel).acceptance.tolist(), strict=True)
    )


def publish(ledger: Ledger, now: object, base: str, bandit: Bandit) -> int:
    """A snapshot as the learner would write it."""
    base = base if base == "prior" or "@" in base else f"{base}@{RUN[:8]}"
    priors = {name: (p, 10.0) for name, p in PRIORS.items()}
    ready = snapshots.pack_model(bandit.state.model(priors, {}, bandit.params))
    return ledger.write_now(lambda c: snapshots.publish(c, base, ready, now))


@pytest.fixture
def registry(tmp_path) -> FakeRegistry:
    return FakeRegistry(tmp_path / "models")


@pytest.fixture
def watcher(registry, ledger, toy_domain, toy_catalog) -> ModelWatcher:
    return ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)


@pytest.fixture
def row(toy_domain) -> np.ndarray:
    """A customer of whom nothing is known but their age, the center of the toy bandits."""
    return np.array(ModelInput(toy_domain).read({"age_years": "0"}, None, 0.0))


@pytest.fixture(scope="module")
def churn(toy_domain) -> Classifier:
    return a_classifier(ModelInput(toy_domain).names, ("stay", "churn"))


# 10 outcomes at the center, against weight 10 on the constant and ridge 100 on the channel.
LEARNED = 0.2 + 0.8 * (10 * 0.11) / (1 + 10 * 0.11)


# Without models --------------------------------------------------------------------------------


def test_without_champions_it_decides_from_priors_and_says_so(watcher, row):
    watcher.refresh()
    now = watcher.current
    assert now.churn(row) is None
    assert now.intent(row) is None
    assert accepted(now, row) == pytest.approx(PRIORS)
    assert now.versions == {"churn": None, "intent": None, "bandit": None}
    assert now.degraded == tuple(f"{name}: {NONE_YET}" for name in ("churn", "intent", "bandit"))


# Two that differ by 2 +- 1: the worse one is the best once in 44 times.
CLOSE = np.array([2.0, 0.0]), np.array([0.6, 0.8])


def test_without_a_bandit_what_is_too_rarely_the_best_is_that_of_the_params(watcher):
    watcher.refresh()
    chances = watcher.current.probabilities(*CLOSE)
    assert chances == pytest.approx([0.977, 0.023], abs=6e-3)


def test_it_can_be_asked_before_its_first_look(watcher, row):
    assert accepted(watcher.current, row, "phone") == pytest.approx(PRIORS)


def test_a_business_without_churn_misses_no_churn_model(registry, ledger, toy_domain, toy_catalog):
    plain = toy_domain.model_copy(update={"churn": None, "intent": None})
    watcher = ModelWatcher(registry, ledger, plain, toy_catalog, PARAMS)
    watcher.refresh()
    assert watcher.current.versions == {"bandit": None}
    assert watcher.current.degraded == (f"bandit: {NONE_YET}",)


# Champions -------------------------------------------------------------------------------------


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


def test_a_misfit_does_not_push_out_the_good_model_before_it(watcher, registry, churn, row):
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


def test_a_misfit_bandit_does_not_push_out_the_good_one_nor_its_snapshots(
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


# Snapshots -------------------------------------------------------------------------------------


def test_a_snapshot_on_the_champions_base_is_preferred(watcher, registry, ledger, now, row):
    registry.promote("bandit", "7", a_bandit())
    mine = publish(ledger, now, "7", a_bandit(accepted=0.5))
    publish(ledger, now, "6", a_bandit(accepted=0.0))  # newer, but of another champion
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"7.{mine}"
    expected = 0.2 + 0.3 * 1.1 / 2.1
    assert accepted(watcher.current, row)["discount"] == pytest.approx(expected)
    assert watcher.current.policy.min_probability == 0.05


def test_without_a_champion_the_newest_snapshot_serves(watcher, ledger, now, row):
    publish(ledger, now, "prior", a_bandit(accepted=0.0))
    newest = publish(ledger, now, "prior", a_bandit(accepted=1.0))
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"prior.{newest}"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)


def test_a_new_snapshot_is_found_by_the_cheap_look_alone(watcher, registry, ledger, now, row):
    registry.promote("bandit", "7", a_bandit(accepted=0.0))
    watcher.refresh()
    asked = list(registry.read)
    assert not watcher.refresh_snapshot()
    number = publish(ledger, now, "7", a_bandit(accepted=1.0))
    assert watcher.refresh_snapshot()
    assert not watcher.refresh_snapshot()
    assert watcher.current.versions["bandit"] == f"7.{number}"
    assert accepted(watcher.current, row)["discount"] == pytest.approx(LEARNED)
    assert registry.read == asked


def test_a_misfit_snapshot_is_told_of_once(watcher, ledger, now):
    publish(ledger, now, "prior", a_bandit(features=("somebody_elses",)))
    watcher.refresh()
    for _ in range(3):
        assert not watcher.refresh_snapshot()
    assert [text for text in watcher.current.degraded if "another domain" in text] == [
        "bandit: was trained for another domain file; run 'nba train --promote'"
    ]


def test_a_full_look_keeps_the_newest_snapshot(watcher, registry, ledger, now):
    registry.promote("bandit", "7", a_bandit())
    publish(ledger, now, "7", a_bandit())
    watcher.refresh()
    number = publish(ledger, now, "7", a_bandit(accepted=0.5))
    watcher.refresh_snapshot()
    assert not watcher.refresh()
    assert watcher.current.versions["bandit"] == f"7.{number}"


def test_rolling_back_returns_to_the_snapshots_of_the_older_champion(
    watcher, registry, ledger, now
):
    registry.promote("bandit", "6", a_bandit())
    old = publish(ledger, now, "6", a_bandit(accepted=0.5))
    registry.promote("bandit", "7", a_bandit())
    new = publish(ledger, now, "7", a_bandit(accepted=0.6))
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"7.{new}"
    registry.champions["bandit"] = "6"
    watcher.refresh()
    assert watcher.current.versions["bandit"] == f"6.{old}"


def test_an_action_that_is_new_in_the_catalogue_does_as_its_prior_says(
    registry, ledger, toy_domain, toy_catalog, now, row
):
    publish(ledger, now, "prior", a_bandit())
    gift = toy_catalog.actions["discount"].model_copy(update={"description": "new"})
    wider = toy_catalog.model_copy(update={"actions": toy_catalog.actions | {"gift": gift}})
    watcher = ModelWatcher(registry, ledger, toy_domain, wider, PARAMS)
    watcher.refresh()
    expected = accepted(watcher.current, row)
    assert expected["gift"] == pytest.approx(0.2)
    assert expected["discount"] == pytest.approx(LEARNED)


# Another catalogue -----------------------------------------------------------------------------


def with_priors(catalog: Catalog, **priors: float) -> Catalog:
    """The catalogue with some of its actions, each believed in as much as told."""
    content = catalog.model_dump(by_alias=True)
    actions = {name: content["actions"][name] for name in priors}
    for name, acceptance in priors.items():
        actions[name]["prior"]["acceptance"] = acceptance
    return Catalog.model_validate(content | {"actions": actions})


@pytest.mark.parametrize("published", [False, True])
def test_a_catalogue_that_changes_is_followed_as_if_it_had_been_there_from_the_start(
    registry, ledger, toy_domain, toy_catalog, now, row, published
):
    """Replay reads champion or snapshot anew; it must find what was decided with."""
    registry.promote("bandit", "1", a_bandit())
    if published:
        publish(ledger, now, "1", a_bandit(accepted=0.5))
    watcher = ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)
    watcher.refresh()
    for other in (
        with_priors(toy_catalog, call_back=0.3),  # the one we have learned of goes
        with_priors(toy_catalog, call_back=0.3, discount=0.6),  # and is back
    ):
        watcher.follow(other)
        fresh = ModelWatcher(registry, ledger, toy_domain, other, PARAMS)
        fresh.refresh()
        assert watcher.current.versions == fresh.current.versions
        assert accepted(watcher.current, row) == accepted(fresh.current, row)


def test_models_of_another_catalogue_are_not_mixed_with_a_desk(
    registry, ledger, toy_domain, toy_catalog
):
    """The same actions with other priors: a decision of both could not be repeated."""
    model_input = ModelInput(toy_domain)
    watcher = ModelWatcher(registry, ledger, toy_domain, toy_catalog, PARAMS)
    setup = DecisionSetup(
        CompiledCatalog(toy_catalog, toy_domain, model_input), watcher.current, model_input
    )
    other = with_priors(toy_catalog, call_back=0.9, discount=0.2, talk_plus=0.1)
    watcher.follow(other)
    assert setup.with_models(watcher.current) is setup
    watcher.follow(toy_catalog)
    assert setup.with_models(watcher.current).models is watcher.current
