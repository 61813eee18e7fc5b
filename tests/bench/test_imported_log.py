"""Tests the import of a log, the real way: with and without customers and events, and its gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from features.journeys.model_input import ModelInput
from features.settings import load_settings
from tests.bench.imported_log import believed, judge, make_home, missed, open_sources, read
from tests.bench.imported_world import (
    FIRST_WAVE,
    N_ACTIONS,
    RATES,
    WAVE_DAYS,
    WAVES,
    ImportedWorld,
    make_world,
)
from tests.commands import environment, nba_in_process
from training.bandit.artifact import Bandit
from training.pipeline.registry import Registry

N = 3_000


@pytest.fixture(scope="module")
def world() -> ImportedWorld:
    return make_world(100, N)


@pytest.fixture(scope="module")
def home(world: ImportedWorld, tmp_path_factory) -> Iterator[dict[str, str]]:
    env = make_home(world, tmp_path_factory.mktemp("imported") / "all", run=nba_in_process)
    with environment(env):
        yield env


@pytest.fixture(scope="module")
def everything(home):
    return read(open_sources())


def champion(env: dict[str, str]) -> Bandit:
    registry = Registry(load_settings(env))
    return Bandit.load(registry.folder(registry.version("bandit", "champion")))


def train(env: dict[str, str], *options: str):
    return nba_in_process(["train", "bandit", "--promote", *options], env)


def test_a_world_has_the_rates_and_the_product_that_were_asked_for(world):
    assert world.chance.mean(axis=0) == pytest.approx(RATES)
    assert np.bincount(world.action, minlength=N_ACTIONS).min() > 0.8 * N / N_ACTIONS
    assert 0.5 <= world.product_share <= 1
    again = make_world(100, N)
    assert (again.chance == world.chance).all() and (again.accepted == world.accepted).all()


def test_every_decision_teaches_with_or_without_an_event_before(world, everything, home):
    assert len(everything.rows) == N
    assert everything.acceptance.tolist() == world.accepted.tolist()
    assert everything.probability.tolist() == [0.1] * N
    past = ModelInput(open_sources().domain).has_past(everything.rows)
    assert 0.5 * N < (~past).sum() < 0.8 * N
    assert everything.left_out == {
        "later_than_until": 0,
        "no_action": 0,
        "action_not_in_catalogue": 0,
        "window_open": 0,
    }


def test_rows_of_customers_without_a_past_are_those_that_the_server_reads(everything, home):
    """At the decision: the rows learned from, against the online store and `ModelInput`."""
    sources = open_sources()
    model_input = ModelInput(sources.domain)
    past = model_input.has_past(everything.rows)
    strangers = [index for index in np.flatnonzero(~past) if everything.at[index].month == 1][:200]
    served = []
    for index in strangers:
        known = sources.store.online(everything.customer_ids[index])
        at_s = everything.at[index].timestamp()
        # The store may hold later events; at the decision it held none.
        served.append(model_input.read(known.attributes if known else {}, None, at_s))
    assert np.array_equal(everything.rows[strangers], np.array(served), equal_nan=True)
    assert np.isfinite(np.array(served)).any(axis=1).all()


def test_on_the_last_wave_the_bandit_is_better_than_rates(world, everything, home):
    sources = open_sources()
    learned, last = read(sources, WAVES - 1), np.flatnonzero(world.wave == WAVES - 1)
    assert len(learned.rows) == N - len(last)
    assert learned.left_out["later_than_until"] == len(last)
    chance = believed(sources, learned, everything.selected(last))
    result = judge(world, 100, last, chance)
    assert result.gain > 0.02
    assert result.true_greedy > world.chance[last].mean(axis=0).max()


def test_goals_that_are_missed_are_told(world):
    last = np.flatnonzero(world.wave == WAVES - 1)
    true = judge(world, 0, last, world.chance[last])
    assert missed(true) == []
    assert true.gain == pytest.approx(true.log_loss_of_rates - true.log_loss_of_truth)
    worst = judge(world, 0, last, 1 - world.chance[last])
    assert len(missed(worst._replace(product_share=0.4))) == 3


def test_the_bandit_is_promoted_and_says_until_when_it_has_learned(world, home, tmp_path):
    second_wave = FIRST_WAVE + timedelta(days=WAVE_DAYS)
    done = train(home, "--until", (second_wave + timedelta(days=2)).date().isoformat())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,000 imported decisions are left out: 1,000 later than until." in done.stdout
    assert "log_loss_over_rates_low" in done.stdout
    assert "bandit: version 1 is champion." in done.stdout
    bandit = champion(home)
    assert bandit.imported_until == max(
        at for at, wave in zip(world.at, world.wave, strict=True) if wave == 1
    )
    assert sum(bandit.state.first.counted(name) for name in bandit.state.actions) == 2_000


def test_a_log_whose_later_part_contradicts_the_earlier_is_not_promoted(world, tmp_path):
    flipped = np.where(world.wave == WAVES - 1, 1 - world.accepted, world.accepted)
    env = make_home(replace(world, accepted=flipped), tmp_path / "flipped", run=nba_in_process)
    done = train(env)
    assert done.returncode == 1
    assert "log_loss_over_rates_low" in done.stderr and "not promoted" in done.stderr


@pytest.mark.parametrize(
    "names", [("decisions", "outcomes"), ("customers", "decisions", "outcomes")]
)
def test_a_log_without_events_teaches_too(world, tmp_path, names):
    env = make_home(world, tmp_path / "few", *names, run=nba_in_process)
    done = train(env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bandit: version 1 is champion." in done.stdout
    bandit = champion(env)
    assert bandit.state.counted == pytest.approx(N)
    rates = [bandit.state.first.rate(f"offer_{number}") for number in range(N_ACTIONS)]
    truth = [world.accepted[world.action == number].mean() for number in range(N_ACTIONS)]
    assert rates == pytest.approx(truth)
    assert bool(bandit.state.encoder.features) == ("customers" in names)
