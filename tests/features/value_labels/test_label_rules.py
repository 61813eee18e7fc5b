"""Rules of labels follow the domain and the catalogue; older catalogues keep their own columns."""

from __future__ import annotations

from features.business.catalog import NO_ACTION
from features.value_labels.label_rules import LabelRules, LoggedCatalogs
from features.value_labels.labelled_decisions import GONE
from tests.features.value_labels.conftest import HORIZON, Followed


def test_the_objective_says_the_horizon_unless_another_one_is_asked_for(followed):
    domain, catalog = followed.domain, followed.catalog
    assert LabelRules(domain, catalog).horizon_days == HORIZON
    assert LabelRules(domain, catalog, horizon_days=90).horizon_days == 90


def test_an_attribute_that_models_do_not_read_is_in_the_record(followed):
    rules = LabelRules(followed.domain, followed.catalog)
    assert not rules.in_record and rules.remaining_at is not None
    content = followed.domain.model_dump(mode="json", by_alias=True)
    content["attributes"]["age_years"]["read"] = False
    hidden = type(followed.domain).model_validate(content)
    rules = LabelRules(hidden, followed.catalog)
    assert rules.in_record and rules.remaining_at is None


def test_an_older_catalogue_has_columns_and_prices_of_its_own(followed):
    """That of today has another value of the discount, and no calls."""
    content = followed.catalog.model_dump(mode="json", by_alias=True)
    del content["actions"]["call_back"]
    content["actions"]["discount"]["value"] = 7.0
    today = type(followed.catalog).model_validate(content)
    Followed(followed.ledger, followed.domain, today)
    catalogs = LoggedCatalogs(LabelRules(followed.domain, today))
    assert catalogs.rules.actions == ("discount", "talk_plus")

    fingerprints = followed.catalog.fingerprint, today.fingerprint, "unknown"
    for _ in range(2):
        known = followed.ledger.read(lambda c: [catalogs.has(c, one) for one in fingerprints])
        assert known == [True, True, False]
    columns = {name: some.tolist() for name, some in catalogs.columns.items()}
    assert columns == {fingerprints[0]: [GONE, 0, 1, 2], fingerprints[1]: [0, 1, 2]}
    assert catalogs.prices["discount"] == (7.0, 0.5)
    assert catalogs.prices["call_back"] == (10.0, 1.0)
    assert (catalogs.place(NO_ACTION), catalogs.place("call_back")) == (2, GONE)
