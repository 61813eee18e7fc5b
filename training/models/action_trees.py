"""Fits small boosted trees for each action alone, and merges them into one LightGBM model.

Where acceptances are rare, trees for all actions together spend their few splits on telling the
actions apart, and find little of what the features say about each of them. Small trees for each
action do not have to. All are merged into one model, so that it is stored, read and explained as
any other: each tree gets a new root, which asks if the action is one of its own. If it is not, the
tree adds 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import numpy as np

from training.arrays import Floats, Indices
from training.models.lightgbm_settings import boosting_settings

ROUNDS = 40  # trees of each action
AT_LEAST = 200  # outcomes of an action with trees of its own: two leaves
MOST = 32  # actions with trees of their own; those with most outcomes
OF_ONE = boosting_settings(
    # A rare acceptance needs large leaves and shrunk values.
    num_leaves=4,
    min_data_in_leaf=AT_LEAST // 2,
    lambda_l2=10.0,
    learning_rate=0.1,
    feature_fraction=0.5,
)
# The other actions have few outcomes each; a leaf must be able to hold one of them.
OF_OTHERS = OF_ONE | {"num_leaves": 8, "min_data_in_leaf": 20, "min_data_per_group": 20}

# Fits so many rounds on the outcomes of some numbers, by settings of LightGBM but the objective.
Fit = Callable[[Indices, Mapping[str, Any], int], str]

_END = "end of trees"
_CATEGORICAL = "1"  # the decision type; an unknown category goes right


class CategoryTrees(NamedTuple):
    """The trees of some categories, to be merged with those of others.

    Attributes
    ----------
    text : str
        The model in LightGBM's text format.
    categories : collection of int
        Its own; those of several parts differ.
    n_rows : int
        Number of rows that it was fitted on.
    """

    text: str
    categories: Collection[int]
    n_rows: int


def fit_each(fit: Fit, actions: Indices, reward: Floats, rows: Indices) -> str:
    """Fit trees for each action with enough outcomes; the other actions share trees.

    Parameters
    ----------
    fit
        Fits trees on some of n outcomes, and returns the model in LightGBM's text format. Its last
        column is the action.
    actions : shape (n,)
        The number of each outcome's action, as in the last column.
    reward : shape (n,)
    rows : shape (n_rows,)
        The outcomes to fit on, ascending; their rewards differ.

    Returns
    -------
    str
        One model, in LightGBM's text format.
    """
    found, counts = np.unique(actions[rows], return_counts=True)
    parts: list[CategoryTrees] = []
    for place in np.lexsort((found, -counts))[:MOST]:
        own = rows[actions[rows] == found[place]]
        if len(own) >= AT_LEAST and _differ(reward[own]):
            parts.append(CategoryTrees(fit(own, OF_ONE, ROUNDS), [int(found[place])], len(own)))
    with_own = {code for part in parts for code in part.categories}
    others = [code for code in found.tolist() if code not in with_own]
    if others:
        shared = rows[np.isin(actions[rows], others)]
        # Rewards that are all 0 would give a chance of 0; all outcomes together give a small one.
        shared = shared if _differ(reward[shared]) else rows
        parts.append(CategoryTrees(fit(shared, OF_OTHERS, ROUNDS), others, len(shared)))
    return merged(parts)


def merged(parts: Sequence[CategoryTrees]) -> str:
    """Merge models of the same columns; the last one tells which of them predicts.

    The raw score of a row is that of the part with its category; 0 if no part has it. The first
    trees of all parts come first, then the second ones, and so on.

    Returns
    -------
    str
        One model, in LightGBM's text format. A single part is returned as it is.
    """
    if len(parts) == 1:
        return parts[0].text
    start, *_ = parts[0].text.split("\nTree=")
    # Without their sizes, LightGBM reads the trees one after the other.
    header = [line for line in start.splitlines() if not line.startswith("tree_sizes=")]
    column = int(next(line for line in header if line.startswith("max_feature_idx=")).split("=")[1])
    count = sum(part.n_rows for part in parts)
    of_parts = [[_with_root(tree, part, column, count) for tree in _trees(part)] for part in parts]
    by_round = chain.from_iterable(zip_longest(*of_parts))
    trees = [tree for tree in by_round if tree is not None]
    numbered = [f"Tree={number}\n{tree}\n" for number, tree in enumerate(trees)]
    end = parts[0].text[parts[0].text.index(_END) :]
    return "\n".join([*header, "", *numbered, end])


def _differ(reward: Floats) -> bool:
    return bool((reward != reward[0]).any())


def _trees(part: CategoryTrees) -> Iterable[dict[str, list[str]]]:
    """Yield the fields of each tree."""
    for tree in part.text.split(_END)[0].split("\nTree=")[1:]:
        pairs = (line.split("=", 1) for line in tree.splitlines() if "=" in line)
        yield {name: values.split() for name, values in pairs}


def _with_root(tree: Mapping[str, list[str]], part: CategoryTrees, column: int, count: int) -> str:
    """Put a root above a tree: the part's categories go left, to it; others right, to a leaf of 0.

    Numbers of splits rise by 1, those of leaves stay: the new leaf is the last one, and the
    categories of the new split are the last ones. Counts are kept for Shapley values. Gains and
    weights are left out: they only inform.
    """
    n_leaves = int(tree["num_leaves"][0])
    bits = [0] * (max(part.categories) // 32 + 1)
    for category in part.categories:
        bits[category // 32] |= 1 << category % 32
    bounds = tree.get("cat_boundaries", ["0"])

    def below(name: str) -> list[str]:
        return [child if child[0] == "-" else str(int(child) + 1) for child in tree[name]]

    fields: dict[str, list[Any]] = {
        "num_leaves": [n_leaves + 1],
        "num_cat": [len(bounds)],
        "split_feature": [column, *tree["split_feature"]],
        "threshold": [len(bounds) - 1, *tree["threshold"]],
        "decision_type": [_CATEGORICAL, *tree["decision_type"]],
        "left_child": [1 if n_leaves > 1 else ~0, *below("left_child")],
        "right_child": [~n_leaves, *below("right_child")],
        "leaf_value": [*tree["leaf_value"], 0],
        "leaf_count": [
            *(tree["leaf_count"] if n_leaves > 1 else [part.n_rows]),
            count - part.n_rows,
        ],
        "internal_count": [count, *tree["internal_count"]],
        "cat_boundaries": [*bounds, int(bounds[-1]) + len(bits)],
        "cat_threshold": [*tree.get("cat_threshold", []), *bits],
        "is_linear": [0],
        "shrinkage": tree["shrinkage"],
    }
    return "".join(f"{name}={' '.join(map(str, values))}\n" for name, values in fields.items())
