"""A persona's condition speaks of features and attributes, and is checked with its line."""

import pytest
import yaml

from features.errors import InvalidDomain
from features.journeys.fold import Fold
from features.journeys.personas.persona_conditions import check_personas, open_domain, persona_names
from features.settings import GROCERY
from tests.conftest import TOY


@pytest.fixture
def opened(tmp_path):
    """The toy business with personas, as it is opened by a server."""

    def read(**personas):
        content = yaml.safe_load((TOY / "domain.yaml").read_text(encoding="utf-8"))
        content["personas"] = {name: {"when": when} for name, when in personas.items()}
        path = tmp_path / "domain.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return open_domain(path)

    return read


def test_a_persona_may_speak_of_features_and_attributes(opened):
    known = opened(
        frequent="order_per_week_7d > 1 and plan == 'plus'",
        silent="events_n == 0 or age_years == null",
    )
    assert list(known.personas) == ["frequent", "silent"]


def test_all_personas_that_are_wrong_are_told_at_once(opened, tmp_path):
    with pytest.raises(InvalidDomain) as caught:
        opened(
            mistyped="order_per_wek_7d > 1",
            never="plan == 'gold'",
            empty="events_n > 3 and events_n < 2",
            foreseen="churn > 0.5",
            good="events_n > 3",
        )
    *told, last = str(caught.value).splitlines()
    said = [line.partition(": ")[2] for line in told]
    assert said[0].startswith(
        "personas.mistyped.when is 'order_per_wek_7d > 1'. Expected an attrib"
    )
    assert "Did you mean order_per_week_7d?" in said[0]
    assert said[1].startswith("personas.never.when is \"plan == 'gold'\". Expected one of 'basic'")
    assert said[2].startswith("personas.empty.when is 'events_n > 3 and events_n < 2'.")
    assert said[3].startswith("personas.foreseen.when is 'churn > 0.5'. Expected an attribute or")
    assert last.startswith("The file has 4 mistakes.")
    lines = (tmp_path / "domain.yaml").read_text(encoding="utf-8").splitlines()
    for line in told:
        number = int(line.partition(", line ")[2].partition(":")[0])
        assert lines[number - 1].strip().startswith("when: ")


def test_the_names_are_those_of_attributes_and_features(toy_domain):
    plan = toy_domain.attributes["plan"].model_copy(update={"read": False})
    stored = toy_domain.model_copy(update={"attributes": {**toy_domain.attributes, "plan": plan}})
    fold = Fold(toy_domain)
    for domain in (toy_domain, stored):
        names = persona_names(domain, fold)
        assert tuple(names.kinds) == ("plan", "age_years", *fold.feature_names)
        assert {name for name, kind in names.kinds.items() if kind == "text"} == {"plan"}
        assert names.values == {"plan": ("basic", "plus")}


def test_a_domain_without_personas_has_nothing_to_check(toy_domain):
    check_personas(toy_domain)
    assert open_domain(GROCERY).name == "grocery"
