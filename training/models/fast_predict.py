"""Predicts one row with LightGBM's single-row function.

`Booster.predict` is made for tables: each call checks, copies and configures, which takes 0.2 ms,
ten times as long as the trees. LightGBM's C library has a function that is configured once,
`LGBM_BoosterPredictForMatSingleRowFast`. Its Python package does not export the function, so it is
called through the package's handle of the library.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np

from training.arrays import Floats
from training.models.lightgbm_settings import lightgbm as lgb

# C_API_DTYPE_FLOAT64 and C_API_PREDICT_RAW_SCORE of LightGBM's c_api.h
_FLOAT64, _RAW_SCORE = 1, 1
_ALL_ROUNDS = -1
_LIB, _safe_call = lgb.basic._LIB, lgb.basic._safe_call


class SingleRowPredictor:
    """Predicts rows one at a time; safe for several threads.

    Parameters
    ----------
    booster
        A reference is kept. It must not be trained further.
    """

    def __init__(self, booster: lgb.Booster) -> None:
        self._booster: Any = booster
        self._width = booster.num_feature()
        self._row = np.empty(self._width)
        self._scores = np.empty(booster.num_model_per_iteration())
        self._count = ctypes.c_int64(0)
        self._config = ctypes.c_void_p()
        # All calls use these two arrays: to find the address of another takes longer than to copy.
        self._arguments = (
            self._config,
            ctypes.c_void_p(self._row.ctypes.data),
            ctypes.byref(self._count),
            self._scores.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        self._lock = threading.Lock()  # guards the two arrays
        _safe_call(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._booster._handle,
                ctypes.c_int(_RAW_SCORE),
                ctypes.c_int(0),
                ctypes.c_int(_rounds(booster)),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(self._width),
                ctypes.c_char_p(b"num_threads=1"),
                ctypes.byref(self._config),
            )
        )

    def scores(self, row: Floats) -> Floats:
        """Compute the raw scores, shape (n_scores,): one for two classes, else one per class.

        Parameters
        ----------
        row : shape (n_features,)

        Raises
        ------
        ValueError
            If the row is of another length: LightGBM would read beyond its end.
        """
        if row.shape != (self._width,):
            raise ValueError(f"a row of shape {row.shape} for trees of {self._width} features")
        with self._lock:
            self._row[:] = row
            _safe_call(_LIB.LGBM_BoosterPredictForMatSingleRowFast(*self._arguments))
            return self._scores.copy()

    def __del__(self) -> None:
        if self._config:
            _LIB.LGBM_FastConfigFree(self._config)


def _rounds(booster: lgb.Booster) -> int:
    """Return the number of rounds that `Booster.predict` uses: the best after early stopping."""
    best = booster.best_iteration
    return best if best > 0 else _ALL_ROUNDS
