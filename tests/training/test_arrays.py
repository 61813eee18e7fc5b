"""Tests arrays as bytes, matrices as triangles, and axes."""

from __future__ import annotations

import numpy as np
import pytest

from training.arrays import (
    ToldRewards,
    by_index,
    chosen_axes,
    from_upper_triangles,
    marginal_directions,
    pack,
    places_of,
    principal_components,
    product_by_row,
    unpack,
    upper_triangles,
)


def test_a_note_and_arrays_survive_their_bytes():
    note, arrays = unpack(pack({"a": [1, "b"]}, x=np.array([0.1, np.nan])))
    assert note == {"a": [1, "b"]}
    assert arrays["x"] == pytest.approx([0.1, np.nan], nan_ok=True)


def test_places_of_names_come_in_the_order_of_the_names():
    assert places_of([]) == {}
    assert [*places_of(["b", "a", "b"]).items()] == [("b", [0, 2]), ("a", [1])]


def test_rows_are_taken_by_index_and_new_ones_are_filled():
    found = by_index(np.array([1, -1]), np.array([[1.0, 2.0], [3.0, 4.0]]), 9.0)
    assert found.tolist() == [[3.0, 4.0], [9.0, 9.0]]


@pytest.mark.parametrize("width", [0, 1, 5])
def test_symmetric_matrices_survive_their_triangles(width):
    matrices = np.random.default_rng(2).normal(size=(3, width, width))
    matrices += matrices.swapaxes(1, 2)
    triangles = upper_triangles(matrices)
    assert triangles.shape == (3, width * (width + 1) // 2)
    assert from_upper_triangles(triangles).tolist() == matrices.tolist()


def test_a_product_by_row_is_that_of_each_row_alone():
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(40, 33)), rng.normal(size=(33, 17))
    found = product_by_row(left, right)
    np.testing.assert_allclose(found, left @ right, rtol=1e-12)
    for row in range(len(left)):
        assert found[row].tobytes() == (left[row : row + 1] @ right).tobytes()
    assert product_by_row(left[:0], right).shape == (0, 17)


# Axes -------------------------------------------------------------------------------------------

# Three columns: one rises with the reward, one tells nothing, one rises less clearly.
Z = np.array([[1.0, 1.0, 2.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, -2.0]])
REWARDS = np.array([1.0, 1.0, 0.0, 0.0])


def told(actions: str, rewards: np.ndarray, counts: list[float]) -> ToldRewards:
    return ToldRewards(np.array([*actions]), rewards, np.array(counts))


def test_a_direction_is_t_of_each_column_moved_towards_0():
    """By hand: sums 10 x (4 x 0.5), 0 and 10 x (2 x 1); squares 10 x (4 x 0.25), 10 and 20."""
    [found] = marginal_directions(Z, told("aaaa", REWARDS, [10.0] * 4), 5)
    assert found == pytest.approx([20 / np.sqrt(10) - 2, 0.0, 20 / np.sqrt(20) - 2])
    [found] = marginal_directions(-Z + 7, told("aaaa", REWARDS, [10.0] * 4), 5)
    assert found == pytest.approx([2 - 20 / np.sqrt(10), 0.0, 2 - 20 / np.sqrt(20)])


def test_where_no_column_is_clear_the_direction_is_t():
    z = np.array([[3.0, 0.0], [-2.0, 0.0], [2.0, 0.0], [-3.0, 0.0]])
    [found] = marginal_directions(z, told("aaaa", REWARDS, [5.0] * 4), 5)
    assert found == pytest.approx([5 / np.sqrt(32.5), 0.0])


def test_a_retraction_takes_an_outcome_out_of_a_direction():
    z, rewards = np.vstack([Z, Z[2:3], Z[2:3]]), np.append(REWARDS, [5.0, 5.0])
    [found] = marginal_directions(z, told("aaaaaa", rewards, [10.0] * 5 + [-10.0]), 5)
    assert found == pytest.approx([20 / np.sqrt(10) - 2, 0.0, 20 / np.sqrt(20) - 2])


def test_actions_with_the_most_outcomes_and_rewards_that_differ_have_directions():
    z, rewards = np.tile(Z, (4, 1)), np.tile(REWARDS, 4)
    rewards[12:] = 0.3  # of d: all equal
    known = told("aaaabbbbccccdddd", rewards, [5.0] * 4 + [10.0] * 4 + [4.9] * 4 + [90.0] * 4)
    b, a = marginal_directions(z, known, 5)  # c has fewer than 20 outcomes
    assert b == pytest.approx([20 / np.sqrt(10) - 2, 0.0, 20 / np.sqrt(20) - 2])
    assert a == pytest.approx([np.sqrt(20) - 2, 0.0, np.sqrt(10) - 2])
    assert marginal_directions(z, known, 1).tolist() == [b.tolist()]
    nothing = known._replace(counts=np.zeros(16))
    assert marginal_directions(z, nothing, 5).shape == (0, 3)


def test_chosen_axes_are_directions_then_principal_axes_with_the_variance_1_along_each():
    rng = np.random.default_rng(4)
    z = rng.normal(size=(60, 30)) * np.linspace(1, 3, 30)
    known = told("ab" * 30, (z[:, 0] > 0) * 1.0, [1.0] * 60)
    axes, variance = chosen_axes(z, 20, known)
    assert axes.shape == (2 + 15, 30) and variance == 17
    assert (z @ axes.T).std(axis=0) == pytest.approx(np.ones(17))
    directions, (principal, along) = marginal_directions(z, known, 20), principal_components(z, 15)
    expected = np.vstack([directions, principal])
    lengths = np.linalg.norm(axes, axis=1) / np.linalg.norm(expected, axis=1)
    assert axes == pytest.approx(expected * lengths[:, None])
    assert chosen_axes(z, 1, known)[0] == pytest.approx(axes[:1])
    for nothing in (None, known._replace(counts=np.zeros(60))):
        same, variance = chosen_axes(z, 15, nothing)
        assert same.tolist() == principal.tolist() and variance == along
