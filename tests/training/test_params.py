"""The file of training parameters: what it must say, and how a gate speaks when it is missed."""

from __future__ import annotations

import pytest

from features.errors import InvalidDomain
from training.params import PARAMS, Gate, load_params


def test_the_packaged_file_is_good():
    params = load_params()
    assert params.bandit.heads[0].memory is None
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
        ("least: 0.001", "least: -1", "bandit.least is -1. Expected .*greater than or equal to 0"),
        ("least: 0.001", "least: .nan", "bandit.least is nan. Expected "),
        ("memory: 6000", "memory: .inf", "bandit.heads.1.memory is inf. Expected .*finite"),
        ("ridge: 300.0", "ridge: 0", "bandit.heads.0.ridge is 0. Expected .*greater than 0"),
        ("ridge: 300.0", "ridge: .inf", "bandit.heads.0.ridge is inf. Expected .*finite"),
        ("warm_start_weight: 0.3", "warm_start_weight: 2", "bandit.warm_start_weight is 2"),
        ("seed: 7", "seed: soon", "line 3: seed is 'soon'. Expected .*integer"),
        ("seed: 7", "seed: 7\nsede: 8", "line 4: sede is 8. Expected .*not permitted"),
        ("ridge: 300.0", "rigde: 300.0", "bandit.heads.0.ridge .*Expected field required"),
    ],
)
def test_a_bad_line_is_named_with_what_should_stand_there(tmp_path, was, now, message):
    text = PARAMS.read_text(encoding="utf-8")
    assert was in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(was, now, 1), encoding="utf-8")
    with pytest.raises(InvalidDomain, match=f"(?i){message}"):
        load_params(path)


def test_what_was_read_cannot_be_changed():
    params = load_params()
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 8
