"""Array types in the signatures of training and serving, and arrays as bytes.

Bytes are written without pickles, so reading them cannot run any code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]


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


def by_index(taken: Indices, values: Floats, new: float) -> Floats:
    """Rows of ``values``, by index; rows of ``new`` for index -1."""
    last = np.full((1, *values.shape[1:]), new, dtype=np.float64)
    found: Floats = np.concatenate([values, last])[taken]
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
