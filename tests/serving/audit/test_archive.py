"""The archive finds the catalogue, the models and the snapshot of a past decision."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.errors import NotRepeatable
from features.journeys.model_input import ModelInput
from serving.audit.archive import Archive, keep_catalog
from tests.serving.fake_registry import (
    LEARNED,
    PARAMS,
    PRIORS,
    FakeRegistry,
    a_bandit,
    accepted,
    an_effect_model,
    former_snapshot,
    publish,
    publish_effect_model,
)
from tests.serving.fakes import changed
from training.bandit.bandit_state import BanditState


@pytest.fixture
def registry(tmp_path) -> FakeRegistry:
    made = FakeRegistry(tmp_path / "models")
    made.promote("bandit", "7", a_bandit())
    return made


@pytest.fixture
def archive(registry, ledger, toy_domain) -> Archive:
    return Archive(registry, ledger, toy_domain, PARAMS)


@pytest.fixture
def discount(archive, toy_catalog, toy_domain):
    """The predicted acceptance of the discount under a version of the bandit."""

    def of(version):
        setup = archive.setup(toy_catalog, {"bandit": version})
        row = np.array(setup.model_input.read({"age_years": "0"}, None, 0.0))
        return accepted(setup.models, row)["discount"]

    return of


def test_an_effect_model_is_found_by_its_number_for_the_actions_of_a_catalogue(
    archive, ledger, toy_catalog, toy_domain, now
):
    publish_effect_model(ledger, now, 4)
    names = ModelInput(toy_domain).names
    row = np.where(np.array(names) == "age_years", 1.5, 0.0)

    def found(number):
        versions = {"bandit": None, "effects": number}
        missing = archive.lacks_effects(toy_catalog, versions)
        return archive.setup(toy_catalog, versions).models.predict_effects(row, "app"), missing

    effects, missing = found("4")
    [of_two] = an_effect_model().predict_each(np.array([[1.5]]), ("app",))
    assert toy_catalog.actions.keys() == {"call_back", "discount", "talk_plus"}
    assert effects.purchases.tolist() == [0.0, *of_two.purchases]
    assert effects.leaving.tolist() == [0.0, *of_two.leaving]
    assert not missing
    assert found("3") == (None, True)  # it is not kept any more
    assert found(None) == (None, False)


@pytest.mark.parametrize("version", [None, "prior"])
def test_before_any_champion_the_priors_were_decided_with(discount, version):
    assert discount(version) == pytest.approx(PRIORS["discount"])


def test_a_champion_is_read_once(discount, registry):
    assert discount("7") == pytest.approx(LEARNED)
    assert discount("7") == pytest.approx(LEARNED)
    assert registry.read == ["bandit 7"]


def test_a_bandit_that_is_held_is_found_by_its_name_and_the_registry_is_not_asked(
    discount, archive, registry
):
    archive.hold("7 at 1", a_bandit(accepted=0.5))
    assert discount("7 at 1") == pytest.approx(0.2 + 0.3 * 1.1 / 2.1)
    assert registry.read == []
    assert discount("7") == pytest.approx(LEARNED)


def test_a_held_bandit_weighs_its_experts_as_a_learner_does_and_a_version_as_ever(
    archive, discount, monkeypatch
):
    weighed, plain = [], BanditState.model

    def model(state, *asked, weights_first=False):
        weighed.append(weights_first)
        return plain(state, *asked, weights_first=weights_first)

    monkeypatch.setattr(BanditState, "model", model)
    archive.hold("7 at 1", a_bandit(accepted=0.5))
    for version, expected in (("7 at 1", True), ("7", False)):
        weighed.clear()
        discount(version)
        assert weighed[-1] is expected  # before it, a bandit was read or made


def test_a_snapshot_is_found_by_its_number_with_or_without_a_champion(discount, ledger, now):
    first = publish(ledger, now, "7", a_bandit(accepted=0.5))
    second = publish(ledger, now, "prior", a_bandit(accepted=1.0))
    assert discount(f"7.{first}") == pytest.approx(0.2 + 0.3 * 1.1 / 2.1)
    assert discount(f"prior.{second}") == pytest.approx(LEARNED)


def test_the_newest_snapshot_before_one_that_is_gone_stands_in_for_it(
    archive, discount, ledger, toy_catalog, now
):
    kept = publish(ledger, now, "7", a_bandit(accepted=0.5))
    later = publish(ledger, now, "7", a_bandit(accepted=1.0))
    assert discount("7.17") == pytest.approx(LEARNED)
    found = archive.stand_in(toy_catalog, {"bandit": "7.17"})
    assert found.named == f"snapshot {later} of the bandit, the newest kept up to 17"
    assert found.explains
    assert archive.stand_in(toy_catalog, {"bandit": f"7.{kept}"}) is None


def test_without_a_snapshot_the_champion_stands_in_and_without_one_the_priors(
    archive, discount, toy_catalog
):
    assert discount("7.17") == pytest.approx(LEARNED)
    found = archive.stand_in(toy_catalog, {"bandit": "7.17"})
    assert found == ("the champion of then, as no snapshot up to 17 can be read", True)
    assert discount("prior.17") == pytest.approx(PRIORS["discount"])
    models = archive.setup(toy_catalog, {"bandit": "prior.17"}).models
    assert models.stand_in == (
        "the priors of the catalogue, as no snapshot up to 17 can be read",
        False,
    )
    assert models.why_acceptance(np.zeros(87), "app", ["discount"]) is None
    assert archive.stand_in(toy_catalog, {"bandit": "prior"}) is None


def test_a_snapshot_that_a_former_program_has_written_counts_as_gone(
    archive, discount, toy_catalog, ledger, now
):
    number = former_snapshot(ledger, now, "7")
    assert discount(f"7.{number}") == pytest.approx(LEARNED)
    found = archive.stand_in(toy_catalog, {"bandit": f"7.{number}"})
    assert found.named == f"the champion of then, as no snapshot up to {number} can be read"


def test_a_catalogue_of_the_ledger_is_found_by_its_fingerprint(archive, ledger, toy_catalog, now):
    rules = {
        "caps": [{"at_most": 1, "days": 30}],
        "cool_downs": [{"after": ["rejected"], "days": 3}],
    }
    capped = changed(toy_catalog, contact_policy=rules)
    keep_catalog(ledger, capped, now)
    keep_catalog(ledger, capped, now)  # the same again does no harm
    assert archive.catalog(capped.fingerprint) == capped
    assert archive.looks_back_days(capped.fingerprint) == (30, 3)
    assert archive.catalog("unknown") is None
    assert archive.looks_back_days("unknown") == (0, 0)


def test_a_catalogue_with_wordings_of_a_former_program_is_not_repeatable(archive, toy_catalog):
    content = toy_catalog.model_dump(mode="json", by_alias=True)
    content["actions"]["discount"]["treatments"]["app"]["title"] = "{{ plan.title() }}"
    with pytest.raises(NotRepeatable, match=r"any more: actions\.discount\.treatments\.app\.title"):
        archive.setup(Catalog.model_validate(content), {"bandit": None})
