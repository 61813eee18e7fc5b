"""Reads classification sets as bandit problems: a row is a customer, a class is an action."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from tests.bench.problems import DATA
from training.arrays import Floats, Indices

# Rows that are played of each set; a set with more rows is cut after it is shuffled.
SIZES = {"segment": 2_310, "satimage": 4_000, "pendigits": 4_000, "vehicle": 846}
MADE_UP = "made up"


class ClassificationSet(NamedTuple):
    """A shuffled classification set.

    Attributes
    ----------
    columns : names of the columns, d of them
    contexts : shape (n_rows, d), as they stand in the file
    right : shape (n_rows,), index of the right class
    n_actions : number of classes
    """

    name: str
    columns: tuple[str, ...]
    contexts: Floats
    right: Indices
    n_actions: int

    @property
    def standardised(self) -> Floats:
        """The contexts with mean 0 and standard deviation 1, as linear learners need them."""
        scale = self.contexts.std(axis=0)
        centred: Floats = self.contexts - self.contexts.mean(axis=0)
        return centred / np.where(scale > 0, scale, 1.0)


def read_set(name: str, seed: int, rows: int | None = None) -> ClassificationSet:
    """Read a set of `SIZES`, shuffled; at most ``rows`` rows."""
    table = pd.read_csv(DATA / "multiclass" / f"{name}.csv.gz")
    order = np.random.default_rng(seed).permutation(len(table))
    right, classes = pd.factorize(table["target"], sort=True)
    contexts = table.drop(columns="target")
    kept = order[: min(SIZES[name], rows or SIZES[name])]
    values = contexts.to_numpy(dtype=np.float64)[kept]
    names = tuple(str(column) for column in contexts.columns)
    return ClassificationSet(name, names, values, right[kept].astype(np.intp), len(classes))


def make_set(rows: int, seed: int) -> ClassificationSet:
    """Make up a set of 4 classes that lie in the 4 quadrants of two columns; a third is noise."""
    contexts = np.random.default_rng(seed).normal(size=(rows, 3))
    right = 2 * (contexts[:, 0] > 0) + (contexts[:, 1] > 0)
    return ClassificationSet(MADE_UP, ("east", "north", "noise"), contexts, right, 4)
