"""Tests the file of training parameters, and the sentence of a gate that is missed."""

from __future__ import annotations

import re

import pytest

from features.errors import InvalidDomain
from training.params import PARAMS, BanditParams, EffectParams, Gate, load_params


def test_the_packaged_file_is_good():
    params = load_params()
    assert params.bandit.linear_experts[0].half_life_decisions is None
    assert params.churn.lightgbm.rounds > 0
    assert params.churn.gates["roc_auc"].min is not None


@pytest.mark.parametrize(
    ("gate", "value", "wrong"),
    [
        (Gate(min=0.7), 0.7, None),
        (Gate(min=0.7), 0.65, "0.6500 is below 0.7"),
        (Gate(max=0.05), 0.05, None),
        (Gate(max=0.05), 0.06, "0.0600 is above 0.05"),
        (Gate(min=0.1, max=0.2), 0.15, None),
        (Gate(min=0.1, max=0.2), 0.3, "0.3000 is above 0.2"),
        (Gate(min=0.7), float("nan"), "nan is below 0.7"),
        (Gate(max=0.7), float("nan"), "nan is above 0.7"),
        (Gate(), -1e9, None),
    ],
)
def test_a_gate_says_what_is_wrong_with_a_value(gate, value, wrong):
    assert gate.broken_by(value) == wrong


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        (
            "min_probability: 0.001",
            "min_probability: -1",
            "bandit.min_probability is -1. Expected .*greater than or equal to 0",
        ),
        ("min_probability: 0.001", "min_probability: .nan", "bandit.min_probability is nan."),
        (
            "half_life_decisions: 6000",
            "half_life_decisions: .inf",
            "bandit.linear_experts.2.half_life_decisions is inf. Expected .*finite",
        ),
        (
            "ridge: 1.0",
            "ridge: 0",
            "bandit.linear_experts.0.ridge is 0. Expected .*greater than 0",
        ),
        ("ridge: 1.0", "ridge: .inf", "bandit.linear_experts.0.ridge is inf. Expected .*finite"),
        ("warm_start_weight: 0.3", "warm_start_weight: 2", "bandit.warm_start_weight is 2"),
        ("seed: 7", "seed: soon", "line 3: seed is 'soon'. Expected .*integer"),
        (
            "seed: 7",
            "seed: 7\nsede: 8",
            "line 4: sede is 8. Expected one of the keys seed, .* Did you mean 'seed'",
        ),
        ("ridge: 1.0", "rigde: 1.0", "bandit.linear_experts.0.rigde .* Did you mean 'ridge'"),
    ],
)
def test_a_bad_line_is_named_with_what_should_stand_there(tmp_path, was, now, message):
    text = PARAMS.read_text(encoding="utf-8")
    assert was in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(was, now, 1), encoding="utf-8")
    with pytest.raises(InvalidDomain, match=f"(?i){message}"):
        load_params(path)


@pytest.mark.parametrize(
    ("key", "line", "message"),
    [
        ("look_days", "look_days: 0", "effects.look_days is 0. Expected .*greater than 0"),
        ("look_days", "look_day: 3.0", "effects.look_day .* Did you mean 'look_days'"),
        ("growth", "growth: 1", "effects.growth is 1. Expected .*greater than 1"),
        ("sample", "sample: 99", "effects.sample is 99. Expected .*equal to 100"),
        ("leaving_prior", "leaving_prior: 0", "effects.leaving_prior is 0. Expected .*than 0"),
        ("purchases_prior", "purchases_prior: .inf", "effects.purchases_prior is inf. .*finite"),
        ("leaving_by_chance", "leaving_by_chance: 0", "effects.leaving_by_chance is 0. Ex.*than 0"),
        ("directions", "directions: 101", "effects.directions is 101. Expected .*equal to 100"),
        ("duration_sd", "duration_sd: -1", "effects.duration_sd is -1. Expected .*than 0"),
    ],
)
def test_a_bad_line_of_the_effects_is_named(tmp_path, key, line, message):
    others, effects = PARAMS.read_text(encoding="utf-8").split("\neffects:\n")
    bad, count = re.subn(rf"(?m)^  {key}: .*$", f"  {line}", effects)
    assert count == 1
    path = tmp_path / "params.yaml"
    path.write_text(f"{others}\neffects:\n{bad}", encoding="utf-8")
    with pytest.raises(InvalidDomain, match=f"(?i){message}"):
        load_params(path)


def test_a_file_of_before_there_were_effects_is_read(tmp_path):
    others, _ = PARAMS.read_text(encoding="utf-8").split("\neffects:\n")
    path = tmp_path / "params.yaml"
    path.write_text(others + "\n", encoding="utf-8")
    assert load_params(path) == load_params().model_copy(update={"effects": EffectParams()})


FORMER = {
    "min_probability": "least",
    "linear_experts": "heads",
    "exploration_scale": "caution",
    "handicap": "debt",
    "half_life_decisions": "memory",
}


def with_former_names(text: str) -> str:
    text, effects = text.split("\neffects:\n")  # these came after the present names
    for name, former in FORMER.items():
        assert f"{name}:" in text
        text = text.replace(f"{name}:", f"{former}:")
    return f"{text}\neffects:\n{effects}"


def test_a_file_with_former_names_is_read(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(with_former_names(PARAMS.read_text(encoding="utf-8")), encoding="utf-8")
    assert load_params(path) == load_params()


def test_a_bandit_that_was_registered_under_former_names_is_read():
    now = load_params().bandit
    note = now.model_dump_json()
    for name, former in FORMER.items():
        note = note.replace(f'"{name}":', f'"{former}":')
    assert note != now.model_dump_json()
    assert BanditParams.model_validate_json(note) == now


def test_a_former_name_beside_the_present_one_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    both = PARAMS.read_text(encoding="utf-8").replace(
        "  min_probability: 0.001", "  min_probability: 0.001\n  least: 0.002"
    )
    path.write_text(both, encoding="utf-8")
    with pytest.raises(InvalidDomain, match=r"bandit\.least is 0\.002\. Expected one of the keys "):
        load_params(path)


def test_what_was_read_cannot_be_changed():
    params = load_params()
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 8
