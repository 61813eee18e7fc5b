"""Takes a reward model apart, into a note for JSON and arrays, and puts it together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import arrays
from training.arrays import Indices
from training.bandit.encoder import Encoder
from training.bandit.reward_model import RewardModel
from training.bandit.trees import BoostedTrees

Arrays = Mapping[str, NDArray[Any]]

# Of the arrays, those that seldom change.
LASTING = ("center", "scale", "axes", "frequencies", "phases", "offset", "basis", "trees")
# Of those that change, and are kept in double precision.
EXACT = ("prior", "prior_weight", "counted", "rate", "drift", "weights", "expert_weights")

# Arrays with numbers of each action that change with its outcomes, and the axis of the actions.
BY_ACTION = {"weights": 1, "drift": 1, "variance": 0, "covariance": 0}


class OutdatedModel(ValueError):
    """A reward model was serialised in a format that is not read any more."""


def parts_of(model: RewardModel) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a note for JSON and arrays; some of these belong to the model."""
    trees = model.trees
    note = {
        "actions": model.actions,
        "range": model.reward_range,
        "noise": model.noise,
        "dispersion": model.dispersion,
        "looks": model.looks,
        "trees": trees is not None and {**trees.note, "text": ""},
    }
    numbers: dict[str, NDArray[Any]] = {name: getattr(model, name) for name in EXACT}
    # Variances need not be known to 16 digits, and of a covariance one triangle is enough.
    numbers |= {name: getattr(model, name).astype(np.float32) for name in ("variance", "basis")}
    numbers["covariance"] = arrays.upper_triangles(model.covariance).astype(np.float32)
    if trees is not None:
        numbers["trees"] = np.frombuffer(trees.text.encode(), dtype=np.uint8)
    return model.encoder.note | note, model.encoder.arrays | numbers


def of_parts(
    note: Mapping[str, Any],
    numbers: Arrays,
    like: RewardModel | None = None,
    places: Indices | None = None,
) -> RewardModel:
    """Return the model of a note and arrays of `parts_of`.

    Parameters
    ----------
    like
        A model with the same encoder, axes and trees, which are then not read again.
    places : shape (n,)
        Places of the actions that the arrays of `BY_ACTION` are of; the other actions have the
        numbers of ``like``. None: they are of all actions.

    Raises
    ------
    OutdatedModel
        If a program wrote it in which a prior could not be replaced yet.
    """
    if not numbers.keys() >= {*EXACT}:
        raise OutdatedModel("a reward model of a former format")
    names = (*EXACT, "variance", "covariance")
    parts: dict[str, Any] = {name: numbers[name].astype(np.float64) for name in names}
    parts["covariance"] = arrays.from_upper_triangles(parts["covariance"])
    if like is not None and places is not None:
        for name, axis in BY_ACTION.items():
            all_actions = getattr(like, name).copy()  # which is in use
            all_actions[(slice(None),) * axis + (places,)] = parts[name]
            parts[name] = all_actions
    trees = None
    if like is None and note["trees"]:
        trees = BoostedTrees.of(note["trees"] | {"text": numbers["trees"].tobytes().decode()})
    return RewardModel(
        encoder=Encoder.of(note, numbers) if like is None else like.encoder,
        actions=tuple(note["actions"]),
        **parts,
        basis=numbers["basis"].astype(np.float64) if like is None else like.basis,
        noise=note["noise"],
        dispersion=note["dispersion"],
        looks={channel: tuple(some) for channel, some in note.get("looks", {}).items()},
        reward_range=tuple(note["range"]),
        trees=trees if like is None else like.trees,
    )


def model_bytes(model: RewardModel) -> bytes:
    """Serialise a model without pickles; inverse of `model_from_bytes`."""
    note, numbers = parts_of(model)
    return arrays.pack(note, **numbers)


def model_from_bytes(payload: bytes) -> RewardModel:
    """Read what `model_bytes` wrote; raise as `of_parts` does."""
    return of_parts(*arrays.unpack(payload))
