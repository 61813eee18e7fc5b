"""The bake-off reads the results of rivals, plays the others, and compares ours with its goals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.bench.bandit import ALL, MISSING, OURS, Run, Tournament, goals, play
from tests.bench.problems import EIGHT, EMAILS, MADE, Problem
from tests.bench.rivals import RESULTS, RIVALS, Entry, Failed, Results, UnitNorm
from tests.bench.xgboost_ensemble import Leaves, Settings, XgboostThompson

SET, ROWS = "wine", 30
FOUND = Run(reward=0.5, predict_us=10.0, learn_us=20.0)


class First:
    """Always chooses the first action, and keeps the contexts that it is given."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def predict(self, context: np.ndarray) -> np.ndarray:
        self.seen.append(context)
        return np.eye(3)[0]

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        pass


class Fails(First):
    """Cannot learn."""

    def learn(self, context: np.ndarray, action: int, reward: float, probability: float) -> None:
        raise ZeroDivisionError("a constant column")


@pytest.fixture
def rivals(monkeypatch):
    """Rivals of a package that is installed, and one of a package that is not."""
    ready = {
        "first": Entry("numpy", "numpy", lambda *given: First()),
        "fails": Entry("numpy", "numpy", lambda *given: Fails()),
        "absent": Entry("no-such-package", "no_such_package", lambda *given: First()),
    }
    monkeypatch.setattr("tests.bench.rivals.RIVALS", ready)
    monkeypatch.setattr("tests.bench.bandit.RIVALS", ready)
    return ready


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "rivals.json")


def played(results, rivals=None, only=("first",)):
    tournament = Tournament(only, rivals, results)
    tournament.play(SET, 0, ROWS)
    return tournament


def test_a_result_in_the_file_is_read_and_the_rival_does_not_play(results, rivals, tmp_path):
    results.add(SET, 0, "first", ROWS, FOUND, "2026-11-28")
    again = Results(tmp_path / "rivals.json")
    assert played(again).runs == {(SET, "first"): [FOUND]}
    assert played(again, MISSING).runs == {(SET, "first"): [FOUND]}


@pytest.mark.parametrize("other", [("vehicle", 0, ROWS), (SET, 1, ROWS), (SET, 0, ROWS + 1)])
def test_a_result_of_another_set_seed_or_number_of_rows_is_not_used(results, rivals, other, capsys):
    name, seed, rows = other
    results.add(name, seed, "first", rows, FOUND, "2026-11-28")
    assert played(results).runs[SET, "first"] != [FOUND]
    said = "first on wine, seed 0, 30 rows: not in rivals.json; it plays now."
    assert said in capsys.readouterr().out


def test_without_being_asked_no_result_is_kept(results, rivals, tmp_path):
    played(results)
    assert not (tmp_path / "rivals.json").exists()


def test_asked_for_all_rivals_they_play_again_and_the_file_is_rewritten(results, rivals, tmp_path):
    results.add(SET, 0, "first", ROWS, FOUND, "2026-11-28")
    new = played(results, ALL).runs[SET, "first"][0]
    assert new.reward != FOUND.reward
    kept = json.loads((tmp_path / "rivals.json").read_text())["runs"]
    assert [run["reward"] for run in kept] == [pytest.approx(new.reward, abs=1e-6)]
    assert kept[0]["package"] == f"numpy {np.__version__}"
    assert not list(tmp_path.glob("*.new"))


def test_a_rival_that_fails_is_kept_as_missing_with_its_reason(results, rivals, tmp_path):
    played(results, MISSING, ["fails"])
    reason = "ZeroDivisionError: a constant column"
    assert Results(tmp_path / "rivals.json").find(SET, 0, "fails", ROWS) == Failed(reason)
    assert played(results, None, ["fails"]).failed == [f"fails on wine, seed 0: {reason}."]


def test_a_rival_that_is_not_installed_is_named_once_it_is_needed(results, rivals):
    (said,) = played(results, None, ["absent"]).failed
    assert said == (
        "absent: no-such-package is not installed (extra 'bench'); "
        "there is no result for wine, seed 0, 30 rows."
    )


def test_a_rival_that_could_not_play_a_seed_has_no_mean_and_is_not_the_best(results, rivals):
    results.add(SET, 0, "first", ROWS, FOUND, "2026-11-28")
    results.add(SET, 1, "first", ROWS, Failed("too slow"), "2026-11-28")
    tournament = played(results)
    assert tournament.mean(SET, "first") == tournament.best_rival(SET) == 0.5
    tournament.play(SET, 1, ROWS)
    assert np.isnan([tournament.mean(SET, "first"), tournament.best_rival(SET)]).all()


def test_only_rows_in_which_the_sent_email_is_drawn_count():
    right, visits = np.array([0, 1, 0, 2]), np.array([1.0, 1.0, 0.0, 1.0])
    sent = Problem(np.zeros((4, 2)), right, 3, np.full(4, 0.5))
    assert play(sent, First(), visits).reward == 0.5
    assert play(sent, First()).reward == 0.5


def test_scaled_features_are_from_0_to_1_and_rows_have_the_norm_1():
    contexts = np.array([[0.0, 5.0, -1.0], [10.0, 5.0, 1.0], [5.0, 5.0, 1.0]])
    scaled = np.array([UnitNorm(contexts, First()).scaled(row) for row in contexts])
    assert scaled == pytest.approx(
        np.array([[0, 0, 0], [0.5**0.5, 0, 0.5**0.5], [0.2**0.5, 0, 0.8**0.5]])
    )


# Goals -----------------------------------------------------------------------------------------


def full(ours: float, rival: float, behind: int) -> Tournament:
    """A tournament in which a rival is better than ours on some of the eight sets."""
    tournament = Tournament([OURS, "VW SquareCB"], None, Results())
    for number, name in enumerate((*EIGHT, EMAILS, MADE)):
        tournament.seeds[name] = 1
        best = ours + 0.01 if number < behind else rival
        for who, reward in ((OURS, ours), ("VW SquareCB", best)):
            tournament.runs[name, who] = [Run(reward, 400.0, 500.0)]
    return tournament


def test_all_goals_are_reached_by_a_good_bandit():
    assert [goal.reached for goal in goals(full(0.94, 0.9, 1))] == [True] * 5


def test_a_bandit_that_is_behind_misses_the_goals_and_it_is_said():
    found = goals(full(0.80, 0.81, 2))
    assert [goal.reached for goal in found] == [False, False, False, True, False]
    assert str(found[2]) == "page_blocks: 0.8 (at least 0.93): NO"


def test_a_goal_without_its_figures_is_not_printed():
    tournament = full(0.94, 0.9, 0)
    del tournament.runs["letter", "VW SquareCB"], tournament.runs[EMAILS, OURS]
    assert len(goals(tournament)) == 3


# Kept results ----------------------------------------------------------------------------------


def test_the_kept_results_are_those_of_known_rivals_with_date_and_version():
    told = json.loads(RESULTS.read_text())
    assert told["command"].startswith("python -m tests.bench.bandit --rivals")
    for run in told["runs"]:
        assert run["rival"] in RIVALS
        assert run["package"].startswith(f"{RIVALS[run['rival']].package} ")
        assert run["date"] >= "2026-11-28"
        assert run.get("missing") or 0 < run["reward"] <= 1


# Trees -----------------------------------------------------------------------------------------


def test_leaves_have_the_means_and_variances_of_their_residuals():
    reached = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    rewards = np.array([1.0, 0.0, 0.0, 0.0])
    leaves = Leaves(reached, rewards, Settings(rate=0.5, l2=0.0))
    # Residuals of the first tree: 0.75, -0.25 | -0.25, -0.25; its leaves are worth 0.125, -0.125.
    # Residuals of the second one: 0.625, -0.125 | -0.375, -0.125.
    mean, variance = leaves.predict(reached[:1])
    assert mean == pytest.approx(0.25 + 0.125 + 0.125)
    assert variance == pytest.approx(0.25 * (0.5 / 2 + 0.28125 / 2))


def test_an_outcome_learned_between_two_fits_counts_as_if_it_had_been_there():
    reached, rewards = np.array([[0], [0], [1], [0]]), np.array([1.0, 0.0, 0.5, 0.5])
    settings = Settings(l2=1.0)
    late = Leaves(reached[:3], rewards[:3], settings)
    late.learn(reached[3], rewards[3])
    at_once = Leaves(reached, rewards, settings)
    assert np.allclose(late.predict(reached), at_once.predict(reached))


def test_thompson_sampling_on_trees_learns_which_action_is_right():
    pytest.importorskip("xgboost", reason="the extra 'bench' is not installed")
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(300, 3))
    right = (contexts[:, 0] > 0).astype(np.intp)
    given = Problem(contexts, right, 2, rng.random(300))
    assert play(given, XgboostThompson(2, 0, Settings(trees=20))).reward > 0.75
