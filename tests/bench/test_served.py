from __future__ import annotations

import pytest

from tests.bench.classification_sets import SIZES, make_set, read_set
from tests.bench.served import Found, goals
from tests.conftest import published

LEARNS = Found("a", [0.8, 0.82], [0.8], [0.6], [0.81], [120.0])
CHANCE = Found("b", [0.2], [0.8], [0.6], [0.1], [120.0])


def test_a_server_that_learns_as_the_notebook_reaches_all_goals():
    said = goals([LEARNS])
    assert [holds for _, holds in said] == [True, True, True, True]
    assert said[0][0] == "mean ratio 1.012, asked 0.97"


def test_a_server_at_chance_misses_all_goals():
    said = goals([CHANCE])
    assert [holds for _, holds in said] == [False, False, False, False]


def test_without_squarecb_and_without_training_there_are_fewer_goals():
    assert len(goals([LEARNS._replace(squarecb=[], trained=[])])) == 2


@pytest.mark.parametrize("name", SIZES)
def test_the_sets_are_cut_and_shuffled_by_the_seed(name):
    published(f"multiclass/{name}.csv.gz")
    one, again, other = read_set(name, 0), read_set(name, 0), read_set(name, 1)
    assert one.contexts.shape == (SIZES[name], len(one.columns))
    assert (one.contexts == again.contexts).all() and (one.right == again.right).all()
    assert (one.right != other.right).any()
    assert set(one.right.tolist()) == set(range(one.n_actions))


def test_standardised_columns_have_mean_0_and_deviation_1():
    found = make_set(200, seed=3).standardised
    assert found.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.std(axis=0) == pytest.approx([1, 1, 1])
