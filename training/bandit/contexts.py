"""Contexts of a `ContextualBandit` as rows of numbers: from arrays, or data frames with texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from features.errors import InvalidSetting
from training.arrays import Floats

Contexts: TypeAlias = ArrayLike | pd.DataFrame

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
        filled = {str(name): self._filled(str(name), frame[name]) for name in frame}
        rows = np.full((len(frame), len(self.names)), np.nan)
        for places, values in filled.values():
            rows[:, places] = values
        return rows

    def _filled(self, name: str, column: pd.Series) -> tuple[list[int], Floats]:
        """Places and values of a column of a data frame."""
        kind = column.dtype
        if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
            if name in self._places:
                raise _refused(f"Column {name!r} holds numbers; it held texts before.", "texts")
            if name not in self._numbers:
                self._numbers[name] = self._added(name, np.nan)
            return [self._numbers[name]], column.to_numpy(np.float64, na_value=np.nan)[:, None]
        if pd.api.types.is_datetime64_any_dtype(kind):
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
