"""A catalogue says whether its priority counts acceptances, or what showing an action adds."""

import pytest

from features.business.catalog import Catalog
from features.business.domain import load_domain
from features.business.experiment.objective import Objective
from features.business.experiment.priority_objective import NO_ACTION_SHARE, default_objective
from features.errors import InvalidDomain
from features.settings import PACKAGE, actions_beside
from serving.catalog.compiled_catalog import load_catalog

DOMAINS = PACKAGE / "domains"


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        *(("grocery", "added_value"), ("telco", "added_value"), ("shop", "added_value")),
        *(("world", "added_value"), ("helpdesk", "acceptance")),
    ],
)
def test_a_file_without_an_objective_gets_that_of_its_domain(name, objective):
    path = DOMAINS / f"{name}.yaml"
    catalog = load_catalog(actions_beside(path), load_domain(path))
    assert catalog.objective == objective
    share = NO_ACTION_SHARE if objective == "added_value" else 0.0
    assert catalog.least_no_action == share


def test_leaving_counts_only_where_there_is_something_to_lose(toy_domain):
    assert toy_domain.churn is not None
    assert default_objective(toy_domain) == "acceptance"
    for remaining in ("age_years", 12):
        objective = Objective(remaining_value=remaining)
        told = toy_domain.model_copy(update={"objective": objective})
        assert default_objective(told) == "added_value"
        silent = told.model_copy(update={"churn": None})
        assert default_objective(silent) == "acceptance"


@pytest.mark.parametrize(
    ("formula", "objective"),
    [
        ("acceptance * value * lever - cost", "acceptance"),
        ("added_value * lever - cost", "added_value"),
    ],
)
def test_a_formula_that_does_not_read_the_added_value_is_paid_by_acceptance(
    formula, objective, tmp_path
):
    path = DOMAINS / "grocery.yaml"
    text = actions_beside(path).read_text(encoding="utf-8")
    assert text.count("\narbitration:\n") == 1
    own = tmp_path / "actions.yaml"
    own.write_text(
        text.replace("\narbitration:\n", f"\narbitration:\n  formula: {formula}\n"),
        encoding="utf-8",
    )
    catalog = load_catalog(own, load_domain(path))
    assert catalog.objective == objective
    assert catalog.least_no_action == (NO_ACTION_SHARE if objective == "added_value" else 0.0)


def test_a_catalogue_of_before_keeps_its_fingerprint(toy_catalog):
    written = toy_catalog.model_dump_json()
    assert '"objective"' not in written
    assert '"no_action_share"' not in written
    assert Catalog.model_validate_json(written).objective == "acceptance"
    assert toy_catalog.with_parts(objective="acceptance").fingerprint == toy_catalog.fingerprint


@pytest.mark.parametrize(("share", "read"), [(None, 0.03), (0, 0.0), (0.1, 0.1)])
def test_the_share_of_no_action_is_part_of_the_catalogue(toy_catalog, share, read):
    added = toy_catalog.with_parts(objective="added_value", no_action_share=share)
    again = Catalog.model_validate_json(added.model_dump_json())
    assert again.least_no_action == read
    assert again.fingerprint == added.fingerprint != toy_catalog.fingerprint
    kept = f"; no_action is drawn with a probability of at least {read:g}" if read else ""
    assert added.objective_in_words == f"The objective is added_value{kept}."
    assert toy_catalog.objective_in_words == "The objective is acceptance."


@pytest.mark.parametrize(
    ("objective", "read"), [("added_value", (0.3, 2.0)), ("acceptance", (0.0, 0.0))]
)
def test_what_is_done_and_assumed_at_first_counts_where_effects_are_paid(
    toy_catalog, objective, read
):
    at_first = {"experiment_at_first": 0.3, "contact_cost_at_first": 2.0}
    careful = toy_catalog.with_parts(objective=objective, **at_first)
    again = Catalog.model_validate_json(careful.model_dump_json())
    assert (again.first_experiment, again.assumed_cost) == read
    assert ("known, 0.3 is an experiment" in again.objective_in_words) == (read[0] > 0)
    plain = toy_catalog.model_dump_json()
    assert "at_first" not in plain and "assumption_weight" not in plain
    assert again.assumption_weight == 30_000
    for name, wrong in (("experiment_at_first", 1.1), ("contact_cost_at_first", -1)):
        with pytest.raises(ValueError, match=rf"(?s){name}.*than or equal to"):
            toy_catalog.with_parts(**{name: wrong})


def test_a_file_may_say_otherwise_than_its_domain(toy_domain, tmp_path):
    path = tmp_path / "actions.yaml"
    toy = (PACKAGE.parent / "tests" / "toy" / "actions.yaml").read_text(encoding="utf-8")
    path.write_text(f"objective: added_value\nno_action_share: 0.2\n{toy}", encoding="utf-8")
    catalog = load_catalog(path, toy_domain)
    assert (catalog.pays_effects, catalog.least_no_action) == (True, 0.2)
    path.write_text(f"objective: profit\nno_action_share: 0.6\n{toy}", encoding="utf-8")
    with pytest.raises(InvalidDomain, match=r"(?s)line 1.*acceptance.*line 2.*0\.5"):
        load_catalog(path, toy_domain)


@pytest.mark.parametrize(
    ("keys", "scale"),
    [
        ({"objective": "acceptance"}, 1.0),
        ({"objective": "added_value"}, 0.4),
        ({"objective": "added_value", "exploration_scale": 2.0}, 2.0),
        ({"objective": "acceptance", "exploration_scale": 0.5}, 0.5),
    ],
)
def test_less_is_tried_where_the_objective_is_the_added_value(toy_catalog, keys, scale):
    assert toy_catalog.with_parts(**keys).exploration == scale
