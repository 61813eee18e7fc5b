"""Contexts and actions of a `ContextualBandit` as numbers.

Contexts come as arrays, or as data frames with texts; actions by number or by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from features.errors import InvalidSetting
from training.arrays import Bools, Floats, Indices
from training.bandit.posteriors import Priors

Contexts: TypeAlias = ArrayLike | pd.DataFrame

# Types of columns by `pandas.api.types.infer_dtype`, which leaves out gaps.
NUMBERS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal"}
TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}
MAX_TEXTS = 50  # of one column; a text that comes later than so many others counts as none of them


class ContextColumns:
    """The columns of rows of numbers, which grow as columns and texts are seen first.

    A column of numbers or of true and false stays one column; a gap is ``nan``. A column of texts
    becomes one column for each text, 1 where it stands and else 0; all are ``nan`` in a gap.

    Parameters
    ----------
    n_features : int or None
        Columns of the arrays, named x0, x1, ...; None: contexts are data frames.

    Attributes
    ----------
    names : list of str
        A column of texts contributes ``column=text``.
    """

    def __init__(self, n_features: int | None) -> None:
        self._n_features = n_features
        self.names = [f"x{number}" for number in range(n_features or 0)]
        self._places: dict[str, dict[str, int]] = {}  # of the texts of each column of texts
        self._numbers: dict[str, int] = {}
        self.fill = [np.nan] * len(self.names)  # of rows that were made before a column was known

    def rows(self, contexts: Contexts) -> Floats:
        """Return contexts as rows of shape (n, len(names)), after new columns were added.

        Raises
        ------
        InvalidSetting
            If an array has another number of columns, or a data frame a column of another type.
        """
        if isinstance(contexts, pd.DataFrame):
            return self._of_frame(contexts)
        try:
            rows = np.asarray(contexts, dtype=np.float64)
        except ValueError as error:
            raise _refused("Contexts hold texts.", "numbers, or a data frame") from error
        if self._n_features is None or rows.ndim != 2 or rows.shape[1] != self._n_features:
            expected = "a data frame" if self._n_features is None else f"(n, {self._n_features})"
            raise _refused(f"Contexts have the shape {rows.shape}.", expected)
        return rows

    def _of_frame(self, frame: pd.DataFrame) -> Floats:
        if self._n_features is not None:
            raise _refused("Contexts are a data frame.", f"an array (n, {self._n_features})")
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()][0]
            raise _refused(f"Contexts have two columns {str(twice)!r}.", "one column of each name")
        filled = [self._filled(str(name), frame[name]) for name in frame]
        rows = np.full((len(frame), len(self.names)), np.nan)
        for places, values in filled:
            rows[:, places] = values
        return rows

    def _filled(self, name: str, column: pd.Series) -> tuple[list[int], Floats]:
        """Places and values of a column of a data frame."""
        kind = pd.api.types.infer_dtype(column, skipna=True)
        gap = column.isna().to_numpy()
        if gap.all():  # a row of gaps only has no type
            return [], np.empty((len(column), 0))
        if kind in NUMBERS:
            if name in self._places:
                raise _refused(f"Column {name!r} holds numbers; it held texts before.", "texts")
            if name not in self._numbers:
                self._numbers[name] = self._added(name, np.nan)
            return [self._numbers[name]], _numbers(column, gap)[:, None]
        if kind in TIMES:
            raise _refused(f"Column {name!r} holds times.", "numbers or texts, such as an age")
        if name in self._numbers:
            raise _refused(f"Column {name!r} holds texts; it held numbers before.", "numbers")
        return self._of_texts(name, column)

    def _of_texts(self, name: str, column: pd.Series) -> tuple[list[int], Floats]:
        places = self._places.setdefault(name, {})
        gap = column.isna().to_numpy()
        texts = column.astype(str).to_numpy()
        for text in dict.fromkeys(texts[~gap]):
            if text not in places and len(places) < MAX_TEXTS:
                places[text] = self._added(f"{name}={text}", 0.0)
        values = np.array([[float(text == known) for known in places] for text in texts])
        values = values.reshape(len(texts), len(places))
        values[gap] = np.nan
        return [*places.values()], values

    def _added(self, name: str, fill: float) -> int:
        self.names.append(name)
        self.fill.append(fill)
        return len(self.names) - 1


class ActionNames:
    """Names of the actions of a `ContextualBandit`.

    Parameters
    ----------
    actions : int, or names
        A number of actions gives the names 0, 1, and so on.

    Raises
    ------
    InvalidSetting
        If there are no actions, or two have one name.
    """

    def __init__(self, actions: int | Sequence[str]) -> None:
        listed = range(actions) if isinstance(actions, int) else actions
        self.names = tuple(str(action) for action in listed)
        self._places = {name: number for number, name in enumerate(self.names)}
        if len(self._places) != max(1, len(self.names)):
            raise InvalidSetting(
                f"Actions are {', '.join(self.names) or 'none'}.",
                expected="one or more, with different names",
                remedy="Give each choice one name.",
            )

    def numbers(self, actions: ArrayLike, n: int) -> Indices:
        """Return the numbers of n actions, given as numbers or names.

        Raises
        ------
        InvalidSetting
            If one does not exist.
        """
        given = np.asarray(actions).reshape(n)
        if given.dtype.kind in "US" or given.dtype == object:
            listed = [self._places.get(str(action), -1) for action in given]
        else:
            listed = given.astype(np.intp).tolist()
        if min(listed, default=0) < 0 or max(listed, default=0) >= len(self.names):
            raise InvalidSetting(
                f"Actions are {', '.join(dict.fromkeys(map(str, given.tolist())))}.",
                expected=f"numbers from 0 to {len(self.names) - 1}, or names of the actions",
                remedy="Give the action that was drawn by `predict`.",
            )
        return np.array(listed, dtype=np.intp)

    def in_order(self, priors: Priors) -> Priors:
        """Return priors in the order of the actions.

        Raises
        ------
        InvalidSetting
            If they are not of these actions.
        """
        if priors.keys() != self._places.keys():
            raise InvalidSetting(
                f"There are priors of {', '.join(map(str, priors)) or 'no action'}.",
                expected=f"priors of {', '.join(self.names)}",
                remedy="Give the prior of each action, or none.",
            )
        return {name: priors[name] for name in self.names}


def places_of(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    """Index of each wanted name among all names."""
    index = {name: number for number, name in enumerate(names)}
    return [index[name] for name in wanted]


def _refused(problem: str, expected: str) -> InvalidSetting:
    return InvalidSetting(
        problem,
        expected=expected,
        remedy="Give one row for each decision, with the same columns each time.",
    )


def _numbers(column: pd.Series, gap: Bools) -> Floats:
    """A column as numbers; ``nan`` in its gaps."""
    found = np.full(len(column), np.nan)
    found[~gap] = column[~gap].to_numpy(np.float64)
    return found
