"""The archive finds the catalogue, the models and the snapshot of a past decision."""

from __future__ import annotations

import numpy as np
import pytest

from features.business.catalog import Catalog
from features.errors import ModelMissing, NotRepeatable
from serving.audit.archive import Archive, keep_catalog
from tests.serving.fake_registry import (
    LEARNED,
    PARAMS,
    PRIORS,
    FakeRegistry,
    a_bandit,
    accepted,
    former_snapshot,
    publish,
)
from tests.serving.fakes import changed


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


def test_a_snapshot_is_found_by_its_number_with_or_without_a_champion(discount, ledger, now):
    first = publish(ledger, now, "7", a_bandit(accepted=0.5))
    second = publish(ledger, now, "prior", a_bandit(accepted=1.0))
    assert discount(f"7.{first}") == pytest.approx(0.2 + 0.3 * 1.1 / 2.1)
    assert discount(f"prior.{second}") == pytest.approx(LEARNED)


def test_a_snapshot_that_is_no_longer_kept_is_named(discount):
    with pytest.raises(ModelMissing, match="Snapshot 17 of the bandit is no longer kept"):
        discount("7.17")


def test_a_snapshot_that_a_former_program_has_written_is_named(discount, ledger, now):
    number = former_snapshot(ledger, now, "7")
    message = f"Snapshot {number} of the bandit was written by a former version of nba.*stand"
    with pytest.raises(ModelMissing, match=message):
        discount(f"7.{number}")


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
