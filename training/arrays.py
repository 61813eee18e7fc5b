"""Array types in the signatures of training and serving, arrays as bytes, and axes of vectors.

Bytes are written without pickles, so reading them cannot run any code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

TINY_SHARE = 1e-9  # of the largest eigenvalue or sum of squares: a smaller one is rounding error
LEAST_TOLD = 20  # outcomes of an action, from which it has a direction
MOST_DIRECTIONS = 30  # so many actions have one; directions of many actions are alike
THRESHOLD = 2.0  # standard errors: a covariance below it is as large by chance in 1 of 20 columns
# Principal axes beside the directions. On the simulated telephone company, 0 are better after
# 10,000 outcomes and worse before; 72 drown the directions.
COMPONENTS = 15


def pack(note: Mapping[str, Any], **arrays: NDArray[Any]) -> bytes:
    """Return the bytes of an ``.npz`` file of the arrays, and of the note as JSON."""
    file = io.BytesIO()
    np.savez(file, note=np.frombuffer(json.dumps(note).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def unpack(payload: bytes) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Return the note and the arrays that `pack` was given."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("note").tobytes()), arrays


def places_of(names: Iterable[str]) -> dict[str, list[int]]:
    """Positions of each name, the names in the order in which they come first."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    return places


def by_index(taken: Indices, values: Floats, new: float) -> Floats:
    """Rows of ``values``, by index; rows of ``new`` for index -1."""
    last = np.full((1, *values.shape[1:]), new, dtype=np.float64)
    found: Floats = np.concatenate([values, last])[taken]
    return found


def product_by_row(left: Floats, right: Floats) -> Floats:
    """Compute ``left @ right`` for each row alone, to the bit as for a matrix of that row only.

    The sums of a product of matrices are rounded in another order, which depends on the number of
    rows.

    Parameters
    ----------
    left : shape (n, k)
    right : shape (k, m)

    Returns
    -------
    shape (n, m)
    """
    found = np.empty((len(left), right.shape[1]))
    for row in range(len(left)):
        found[row] = (left[row : row + 1] @ right)[0]
    return found


def upper_triangles(matrices: Floats) -> Floats:
    """Upper triangles of symmetric matrices, shape (n, width (width + 1) / 2)."""
    found: Floats = matrices[:, *np.triu_indices(matrices.shape[-1])]
    return found


def from_upper_triangles(triangles: Floats) -> Floats:
    """Symmetric matrices, shape (n, width, width); inverse of `upper_triangles`."""
    width = int(np.sqrt(2 * triangles.shape[1]))
    upper = np.triu_indices(width)
    matrices = np.zeros((len(triangles), width, width))
    matrices[:, *upper] = triangles
    matrices[:, upper[1], upper[0]] = triangles
    return matrices


def principal_components(z: Floats, n: int) -> tuple[Floats, float]:
    """The first n principal axes of standardised rows, and the variance along them.

    Signs are fixed, so that the same rows give the same axes on any machine. Where there are fewer
    rows than columns, the products of rows have the same eigenvalues as those of columns, and are
    a smaller matrix. Rows vary along fewer axes than there are of them; random ones follow these.
    """
    rows, columns = z.shape
    if columns <= rows:
        values, vectors = np.linalg.eigh(z.T @ z / rows)
        axes = vectors[:, ::-1][:, :n].T
    else:
        values, of_rows = np.linalg.eigh(z @ z.T / rows)
        varying = of_rows[:, values > TINY_SHARE * values[-1]][:, ::-1][:, :n]
        others = np.random.default_rng(0).normal(size=(columns, n - varying.shape[1]))
        orthonormal, _ = np.linalg.qr(np.hstack([z.T @ varying, others]))
        axes = orthonormal.T
    signs = np.sign(axes[np.arange(n), np.abs(axes).argmax(axis=1)])
    return axes * signs[:, None], float(values[::-1][:n].sum())


class ToldRewards(NamedTuple):
    """Rewards of the actions that were chosen, one on each of n rows.

    Attributes
    ----------
    actions : shape (n,)
        Numbers or names.
    rewards : shape (n,)
    counts : shape (n,)
        Outcomes that each counts as; 0: it is not known yet; -1: an equal outcome is retracted.
    """

    actions: NDArray[Any]
    rewards: Floats
    counts: Floats


def marginal_directions(z: Floats, told: ToldRewards, most: int) -> Floats:
    """Directions along which the rewards of actions rise, shape (n_directions, n_columns).

    There is one for each action with `LEAST_TOLD` outcomes and rewards that differ; for ``most``
    of them, those with the most outcomes. Each column is tested alone: t is the sum of the products
    of its values and the action's rewards, both less their means, over the root of the sum of these
    products' squares. The weight of the column is t, moved by `THRESHOLD` towards 0; where no
    column is left, it is t. So columns that tell nothing drop out, however many there are.

    References
    ----------
    Fan & Lv (2008), "Sure Independence Screening for Ultrahigh Dimensional Feature Space"; Bair et
    al. (2006), "Prediction by Supervised Principal Components". Without the threshold it is about
    the first component of partial least squares (Wold 1975).
    """
    _, which = np.unique(told.actions, return_inverse=True)
    outcomes = np.bincount(which, weights=told.counts)
    found = list[Floats]()
    for action in np.argsort(-outcomes, kind="stable"):
        if outcomes[action] < LEAST_TOLD or len(found) == most:
            break
        mine = np.flatnonzero((which == action) & (told.counts != 0))
        rewards, counts = told.rewards[mine], told.counts[mine]
        rewards = rewards - counts @ rewards / counts.sum()
        if counts @ rewards**2 > TINY_SHARE * (counts @ told.rewards[mine] ** 2):
            t = _t_statistics(z[mine], rewards, counts)
            left = np.sign(t) * np.maximum(np.abs(t) - THRESHOLD, 0.0)
            found.append(left if left.any() else t)
    return np.array(found).reshape(-1, z.shape[1])


def _t_statistics(z: Floats, rewards: Floats, counts: Floats) -> Floats:
    """Statistic t of each column, see `marginal_directions`; ``z`` is overwritten.

    Products are counted as often as outcomes, so that a retraction takes one out.
    """
    z -= counts @ z / counts.sum()
    sums = (counts * rewards) @ z
    squares = (counts * rewards**2) @ np.square(z, out=z)
    t: Floats = sums / np.sqrt(np.where(squares > TINY_SHARE, squares, np.inf))
    return t


def chosen_axes(z: Floats, n: int, told: ToldRewards | None) -> tuple[Floats, float]:
    """At most n axes that replace the columns of standardised rows, and the variance along them.

    These are the first n principal axes, as long as no action has a direction. After that they are
    the `marginal_directions` and at most `COMPONENTS` principal axes, all of such a length that the
    variance of the rows along each is 1: what varies most is not what tells who accepts.
    """
    most = min(n, MOST_DIRECTIONS)
    directions = np.empty((0, 0)) if told is None else marginal_directions(z, told, most)
    if not len(directions):
        return principal_components(z, n)
    components, _ = principal_components(z, min(COMPONENTS, n - len(directions)))
    axes = np.concatenate([directions, components])
    deviations = (z @ axes.T).std(axis=0)
    # Of few rows, the last principal axes are random ones, along which the rows do not vary.
    return axes / np.where(deviations > TINY_SHARE, deviations, 1.0)[:, None], float(len(axes))


def orthogonal_directions(n: int, inputs: int, rng: np.random.Generator) -> Floats:
    """n random frequencies, with the lengths of normal vectors, orthogonal in blocks.

    Orthogonal ones approximate the kernel better than independent ones (Yu et al. 2016).
    """
    blocks = []
    for _ in range(0, n, max(inputs, 1)):
        orthogonal, _ = np.linalg.qr(rng.normal(size=(inputs, inputs)))
        length = np.sqrt(rng.chisquare(inputs, inputs))
        blocks.append(orthogonal * length[:, None])
    return np.concatenate([*blocks, np.empty((0, inputs))])[:n]


def varying_columns(x: Floats) -> tuple[Indices, Floats, Floats]:
    """Indices of the columns that vary, and their means and standard deviations."""
    seen = np.isfinite(x)
    count = np.maximum(seen.sum(axis=0), 1)
    center = np.where(seen, x, 0.0).sum(axis=0) / count
    difference = np.where(seen, x - center, 0.0)
    scale = np.sqrt((difference**2).sum(axis=0) / count)
    kept = np.flatnonzero(scale >= 1e-9 * np.maximum(1.0, np.abs(center)))
    return kept, center[kept], scale[kept]
