"""A catalogue is compiled as a whole or refused, with file, line, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from features.business.catalog import Catalog
from features.business.domain import load_domain
from features.business.experiment.prior import ConditionalPrior
from features.errors import InvalidDomain
from features.journeys.model_input import ModelInput
from features.settings import GROCERY, actions_beside
from serving.catalog import compiled_catalog
from serving.catalog.compiled_catalog import CompiledCatalog, load_compiled_catalog

TOY = Path(__file__).parents[2] / "toy" / "actions.yaml"


@pytest.fixture
def load(tmp_path, toy_domain):
    """The toy catalogue with other content at some keys."""

    def read(**changes):
        content = yaml.safe_load(TOY.read_text(encoding="utf-8"))
        for where, value in changes.items():
            *parents, last = where.split("__")
            inner = content
            for name in parents:
                inner = inner.setdefault(name, {})
            inner[last] = value
        path = tmp_path / "actions.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_compiled_catalog(path, toy_domain, ModelInput(toy_domain))

    return read


def refused(load, **changes):
    with pytest.raises(InvalidDomain) as caught:
        load(**changes)
    message = str(caught.value)
    path, _, rest = message.partition(", line ")
    number, _, sentence = rest.partition(": ")
    line = Path(path).read_text(encoding="utf-8").splitlines()[int(number) - 1].strip()
    return sentence, line


def test_every_packaged_catalogue_is_good():
    for path in sorted(GROCERY.parent.glob("*.actions.yaml")):
        domain = load_domain(path.with_name(path.name.replace(".actions", "")))
        assert load_compiled_catalog(path, domain, ModelInput(domain)).actions
    assert actions_beside(GROCERY).exists()


def test_columns_have_the_order_of_the_file(load):
    compiled = load()
    assert compiled.actions == ("call_back", "discount", "talk_plus")
    assert compiled.value.tolist() == [10.0, 5.0, 20.0]
    assert compiled.cost.tolist() == [1.0, 0.5, 2.0]
    assert compiled.offered["app"].tolist() == [True, True, False]
    assert compiled.mask(groups=["promotion"]).tolist() == [False, True, True]
    assert compiled.mask(groups=["promotion"], issues=["grow"]).tolist() == [False, False, True]
    assert compiled.mask().all()


def test_a_condition_that_is_written_twice_is_computed_once(load):
    compiled = load(
        actions__discount__eligibility=["churn > 0.3", "known"],
        actions__call_back__suitability=["known"],
    )
    assert sorted(compiled.texts) == ["churn > 0.3", "known"]
    assert len(compiled.rules) == 3


@pytest.mark.parametrize("level", ["eligibility", "applicability", "suitability"])
def test_a_condition_that_names_an_unknown_feature_is_refused_with_its_line(load, level):
    conditions = ["known", "oder_silence_days > 3"]
    sentence, line = refused(load, **{f"actions__discount__{level}": conditions})
    assert sentence.startswith(f"actions.discount.{level}.1 is 'oder_silence_days > 3'.")
    assert "order_silence_days" in sentence  # what was probably meant
    assert line == "- oder_silence_days > 3"


@pytest.mark.parametrize(
    "condition", ["churn > 'high'", "plan > 3", "churn >", "__import__('os')", "churn.real > 0"]
)
def test_a_condition_that_cannot_be_read_is_refused(load, condition):
    sentence, _ = refused(load, actions__discount__eligibility=[condition])
    assert sentence.startswith("actions.discount.eligibility.0 is ")


def test_a_condition_that_can_never_hold_is_refused_with_the_values(load):
    sentence, line = refused(load, actions__discount__eligibility=["known", "plan == 'Plus'"])
    assert sentence.startswith("actions.discount.eligibility.1 is \"plan == 'Plus'\".")
    assert "Expected one of 'basic', 'plus'; the present one compares plan with 'Plus'" in sentence
    assert sentence.endswith("Did you mean 'plus'? Correct that line; nothing was changed.")
    assert line == "- plan == 'Plus'"
    for text in ("stage == 'using'", "channel == 'fax'", "churn > 30", "weekday == 0"):
        assert text in refused(load, actions__discount__suitability=[text])[0]
    sentence, _ = refused(load, arbitration__formula="stage == 'used' ? value : 0")
    assert "Did you mean 'use'?" in sentence


def test_conditions_of_one_action_that_exclude_each_other_are_refused(load):
    sentence, line = refused(
        load,
        actions__discount__eligibility=["known", "hour >= 8 and hour < 20"],
        actions__discount__suitability=["churn > 0.1", "hour > 22"],
    )
    assert sentence.startswith(
        "actions.discount.suitability.1 is 'hour > 22'. Expected a condition"
    )
    assert "together with the others of discount: no value of hour fulfils all" in sentence
    assert line == "- hour > 22"
    assert load(
        actions__discount__eligibility=["hour > 22"], actions__call_back__eligibility=["hour < 6"]
    )


def test_a_catalogue_of_the_ledger_may_name_values_that_the_domain_no_longer_has(load, toy_domain):
    content = load().catalog.model_dump(mode="json", by_alias=True)
    content["actions"]["discount"]["eligibility"] = ["plan == 'gone'"]
    old = Catalog.model_validate(content)
    assert CompiledCatalog(old, toy_domain, ModelInput(toy_domain)).texts == ("plan == 'gone'",)


def test_a_context_weight_and_a_formula_are_checked_too(load):
    weight = [{"when": "stage == 'use'", "weight": 2}, {"when": "nonsense", "weight": 2}]
    sentence, _ = refused(load, arbitration__context_weights=weight)
    assert sentence.startswith("arbitration.context_weights.1.when is 'nonsense'.")
    sentence, _ = refused(load, arbitration__formula="acceptance * worth")
    assert sentence.startswith("arbitration.formula is 'acceptance * worth'.")


def test_the_conditions_of_priors_are_checked_too(load):
    where = [{"when": "stage == 'use'", "acceptance": 0.2}, {"when": "odd", "acceptance": 0.3}]
    prior = {"acceptance": 0.1, "where": where}
    sentence, _ = refused(load, actions__discount__prior=prior)
    assert sentence.startswith("actions.discount.prior.where.1.when is 'odd'.")
    compiled = load(actions__discount__prior=prior | {"where": where[:1]})
    stage = compiled.texts.index("stage == 'use'")
    expected = [(stage, ConditionalPrior(**where[0]))]
    assert compiled.priors == [(compiled.index["discount"], expected)]
    assert load().priors == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contact_policy__outbound": ["fax"]}, "some of app, phone; not fax"),
        ({"contact_policy__caps": [{"at_most": 1, "days": 1, "channels": ["fax"]}]}, "not fax"),
        ({"contact_policy__caps": [{"at_most": 1, "days": 1, "groups": ["sale"]}]}, "not sale"),
        ({"contact_policy__caps": [{"at_most": 1, "days": 1, "actions": ["x"]}]}, "not x"),
        ({"contact_policy__caps": [{"at_most": -1, "days": 1}]}, "greater than or equal to 0"),
        ({"contact_policy__caps": [{"at_most": 1, "days": 0}]}, "greater than 0"),
        ({"contact_policy__cool_downs": [{"after": ["said_no"], "days": 1}]}, "not said_no"),
        ({"contact_policy__cool_downs": [{"days": 1}]}, "one of the two"),
        (
            {
                "contact_policy__cool_downs": [
                    {"after": ["rejected"], "after_showings": 2, "days": 1}
                ]
            },
            "one of the two",
        ),
        ({"contact_policy__quiet_hours": [{"from": "25:00", "until": "08:00"}]}, ""),
        ({"contact_policy__quiet_hours": [{"from": "21:00Z", "until": "08:00"}]}, "without a zone"),
        ({"clock__zone": "Mars/Olympus"}, "a time zone such as Europe/Rome"),
        ({"clock__attribute": "age_years"}, "a category"),
        ({"groups": {"promotion": {"purpose": "ads"}}, "purposes": {"marketing": {}}}, "marketing"),
        ({"groups": {"promotion": {"kind": "advert"}}}, "'retention', 'service' or 'other'"),
        ({"actions__discount__for": "everybody"}, "'left'"),
        ({"actions__discount__for": "left"}, "has no 'churn' with 'when: happens'"),
        ({"actions__discount__budget": "spring"}, ""),
        ({"actions__discount__volume": {}}, "a number, or one for at_least"),
        ({"actions__discount__volume": {"at_most": 1, "at_least": 2}}, "not above at_most"),
        ({"actions__discount__outcomes": {"bought": {"reward": 1}}}, "not bought"),
        (
            {"actions__discount__outcomes": {"clicked": {"reward": 1, "attribution_days": 99}}},
            "at most the action's own",
        ),
        ({"actions__discount__start": "2026-01-02T00:00:00"}, "timezone"),
        (
            {
                "actions__discount__start": "2026-01-02T00:00:00Z",
                "actions__discount__end": "2026-01-01T00:00:00Z",
            },
            "a time after start",
        ),
        ({"pacing__hourly": [1] * 23}, "24 weights"),
        ({"pacing__hourly": [0] * 24}, "24 weights"),
        ({"control_group__share": 0.6}, "less than or equal to 0.5"),
        ({"attribution": "middle"}, "last_touch"),
        ({"arbitration__context_weights": [{"when": "known", "weight": -1}]}, "equal to 0"),
        ({"context__page__type": "color"}, "'number', 'text' or 'truth'"),
        ({"context": {"x": {"type": "text"}}, "purposes": {"": {}}}, ""),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_the_remedy(load, changes, said):
    sentence, _ = refused(load, **changes)
    assert said in sentence
    assert sentence.endswith("Correct that line; nothing was changed.")


def test_a_catalogue_of_the_ledger_decides_like_the_file(load, toy_domain):
    compiled = load(
        contact_policy__quiet_hours=[{"from": "21:00", "until": "08:00"}],
        actions__discount__start="2026-01-02T00:00:00+01:00",
        actions__discount__eligibility=["churn > 0.3"],
    )
    again = Catalog.model_validate_json(compiled.catalog.model_dump_json())
    assert again.fingerprint == compiled.catalog.fingerprint
    assert CompiledCatalog(again, toy_domain, ModelInput(toy_domain)).texts == compiled.texts


def test_a_treatment_is_found_by_action_and_channel(load):
    title = "{{ context_name or 'Hello' }}: {{ (order_silence_days or 0)|round|int }} days"
    compiled = load(
        context__name__type="text",
        actions__discount__treatments={"app": {"title": title, "tags": [1, "{{ plan }}"]}},
    )
    assert compiled.names_in_treatment("discount", "app") == (
        "context_name",
        "order_silence_days",
        "plan",
    )
    values = {"context_name": "Anna", "order_silence_days": 3.6, "plan": "plus"}
    filled = compiled.treatment("discount", "app", values)
    assert filled == {"title": "Anna: 4 days", "tags": [1, "plus"]}
    nobody = compiled.treatment("discount", "app", dict.fromkeys(values))
    assert nobody == {"title": "Hello: 0 days", "tags": [1, "None"]}


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("{{ plam }}", "names that a condition may use; not plam (did you mean plan?)"),
        ("{{ plan ", "a text with names in double braces"),
        ("{{ age_years|round }}", "while its names are unknown"),
        ("{{ plan.__class__.__mro__ }}", ""),
        ("{% for x in range(1000000000) %}{% endfor %}", "a loop over a list that is written out"),
        ("{{ 'a' * 1000000000 }}", "numbers only"),
        ("{{ 10 ** 10 }}", "not a power"),
    ],
)
def test_a_treatment_that_could_fail_before_a_customer_is_refused_with_its_line(load, title, said):
    sentence, line = refused(load, actions__discount__treatments={"app": {"title": title}})
    assert sentence.startswith("actions.discount.treatments.app.title is ")
    assert said in sentence
    assert line.startswith("title:")


def test_all_mistakes_of_a_catalogue_come_at_once(load):
    with pytest.raises(InvalidDomain) as caught:
        load(
            contact_policy__outbound=["fax"],
            actions__call_back__eligibility=["known", "chrun > 0.3"],
            actions__discount__eligibility=["chrun > 0.3"],
            actions__discount__suitability=["plan == 'gold'", "churn >"],
            actions__discount__treatments={"app": {"title": "{{ plam }}", "tags": ["{{ plan"]}},
            arbitration__formula="acceptance * worth",
        )
    first, *others = str(caught.value).splitlines()[:-1]
    lines = [first, *others]
    for key in (
        "contact_policy.outbound",
        "actions.call_back.eligibility.1 is 'chrun > 0.3'",
        "actions.discount.eligibility.0 is 'chrun > 0.3'",
        "actions.discount.suitability.0",
        "actions.discount.suitability.1 is 'churn >'",
        "actions.discount.treatments.app.title is '{{ plam }}'",
        "actions.discount.treatments.app.tags.0 is '{{ plan'",
        "arbitration.formula",
    ):
        assert sum(key in line and ", line " in line for line in lines) == 1, key
    assert "The file has 8 mistakes." in str(caught.value)
    assert str(caught.value).count("Did you mean churn?") == 2


def test_a_key_that_is_refused_is_not_refused_again_where_it_is_used(load):
    sentence, _ = refused(
        load,
        context__basket="number",
        actions__discount__eligibility=["context_basket > 10"],
        actions__discount__treatments={"app": {"title": "{{ context_basket or 0 }}"}},
    )
    assert sentence.startswith("context.basket is 'number'. Expected a mapping with keys of type")
    assert "mistakes" not in sentence


def test_a_catalogue_has_a_largest_number_of_conditions_and_of_texts_with_names(load, monkeypatch):
    monkeypatch.setattr(compiled_catalog, "MAX_CONDITIONS", 2)
    monkeypatch.setattr(compiled_catalog, "MAX_WORDINGS", 2)
    several = ["churn > 0.1", "churn > 0.2", "churn > 0.1"]
    titles = {"title": "{{ plan }}", "body": "{{ plan }}", "image": "a.png"}
    assert load(
        actions__discount__eligibility=several, actions__discount__treatments={"app": titles}
    )
    sentence, line = refused(load, actions__discount__eligibility=[*several, "churn > 0.3"])
    assert "Expected at most 2 different conditions in a catalogue." in sentence
    assert line == "- churn > 0.3"
    more = {"app": titles | {"note": "{{ plan }}"}}
    sentence, line = refused(load, actions__discount__treatments=more)
    assert "Expected at most 2 texts with names in a catalogue." in sentence
