"""Tests reading the champion: its files once, and no failure without MLflow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.learn.champion_reader import ChampionReader, Champions
from serving.learn.updates import BanditUpdates
from serving.models.served_models import PRIOR
from tests.bandits import PLAIN
from tests.serving.fake_registry import FakeRegistry, a_bandit
from tests.serving.learn.test_learner import a_champion
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder


class Down:
    """A registry that does not answer."""

    def champion(self, name: str) -> None:
        raise OSError("MLflow is down")


class Empty:
    """A registry without a champion."""

    def champion(self, name: str) -> None:
        return None


@pytest.mark.parametrize("registry", [Down(), Empty()])
def test_without_an_answer_of_mlflow_there_is_no_champion_to_build_on(registry):
    assert ChampionReader(registry)() is None


def test_the_files_of_a_champion_are_read_once_until_another_is_promoted(tmp_path):
    registry = FakeRegistry(tmp_path)
    registry.promote("bandit", "1", a_bandit())
    read = ChampionReader(registry)
    first = read()
    assert first is not None and read() is first
    registry.promote("bandit", "2", a_bandit(accepted=0.0))
    second = read()
    assert second is not None and (first[0], second[0]) == ("1@run-of-t", "2@run-of-t")
    assert registry.read == ["bandit 1", "bandit 2"]
    registry.down = True
    assert read() is None
    registry.down = False
    assert read() is second


def test_the_files_that_serve_are_the_first_champion_without_asking_mlflow(tmp_path):
    registry = FakeRegistry(tmp_path)
    registry.promote("bandit", "1", a_bandit())
    registry.down = True
    read = ChampionReader(registry, ("1@run-of-t", tmp_path / "bandit" / "1"))
    first = read()
    assert first is not None and first[0] == "1@run-of-t"
    assert read() is None  # MLflow is asked from the second call on
    registry.down = False
    assert read() is first


def test_files_that_are_gone_are_looked_up_in_mlflow(tmp_path):
    registry = FakeRegistry(tmp_path)
    registry.promote("bandit", "1", a_bandit())
    found = ChampionReader(registry, ("1@run-of-t", tmp_path / "nowhere"))()
    assert found is not None and found[0] == "1@run-of-t"
    assert registry.read == ["bandit 1"]


def test_a_champion_is_another_one_once_and_its_imported_state_is_kept(ledger, toy_domain):
    asked: list[int] = []
    answers = {"now": a_champion("4", accepted=0.5)()}

    def read():
        asked.append(1)
        return answers.get("now")

    champions = Champions(read, BanditUpdates(ledger, toy_domain, PLAIN))
    assert champions.imported(PRIOR).counted == 0 and asked == []
    assert champions.another_than(PRIOR) == answers["now"]
    assert champions.another_than("4") is None
    del answers["now"]  # MLflow does not answer any more
    assert champions.another_than("3") is None
    asked.clear()
    assert champions.imported("4").counted == 10 and asked == [], "it was read before"
    assert champions.imported("3") is None


def test_a_champion_of_another_domain_is_not_built_on(ledger, toy_domain):
    version, bandit = a_champion("4", accepted=0.5)()
    strange = Encoder(("shoe_size",), ("app",), np.zeros(1), np.ones(1))
    other = replace(bandit, start=BanditState(strange, PLAIN))
    champions = Champions(lambda: (version, other), BanditUpdates(ledger, toy_domain, PLAIN))
    assert champions.another_than(PRIOR) is None
