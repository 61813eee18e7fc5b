"""The scores of one row, by LightGBM's own way for just that.

`Booster.predict` is made for tables: it checks, copies and configures anew at each call, for
some 0.2 ms, which is ten times what the trees take. LightGBM's library has a second entry that
is configured once (`LGBM_BoosterPredictForMatSingleRowFast`); its Python package offers no door
to it, so this room goes through the package's own handle of the library.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import lightgbm as lgb
import numpy as np
from lightgbm.basic import _LIB, _safe_call

from training.arrays import Floats

# C_API_DTYPE_FLOAT64 and C_API_PREDICT_RAW_SCORE of LightGBM's c_api.h
_FLOAT64, _RAW_SCORE = 1, 1
_ALL_ROUNDS = -1


class SingleRowPredictor:
    """Scores rows one at a time; several threads may ask.

    Parameters
    ----------
    booster
        Is kept alive; must not be trained on meanwhile.
    """

    def __init__(self, booster: lgb.Booster) -> None:
        self._booster: Any = booster
        self._width = booster.num_feature()
        self._scores = np.empty(booster.num_model_per_iteration())
        self._into = self._scores.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        self._count = ctypes.c_int64(0)
        self._counted = ctypes.byref(self._count)
        self._config = ctypes.c_void_p()
        self._asking = threading.Lock()  # the scores are written to one place
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
        """Raw scores, shape (n_scores,): one for two classes, else one for each.

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
        whole = np.ascontiguousarray(row, dtype=np.float64)
        with self._asking:
            _safe_call(
                _LIB.LGBM_BoosterPredictForMatSingleRowFast(
                    self._config, ctypes.c_void_p(whole.ctypes.data), self._counted, self._into
                )
            )
            return self._scores.copy()

    def __del__(self) -> None:
        if self._config:
            _LIB.LGBM_FastConfigFree(self._config)


def _rounds(booster: lgb.Booster) -> int:
    """As many as `Booster.predict` takes: the best, where training was stopped early."""
    best = booster.best_iteration
    return best if best > 0 else _ALL_ROUNDS
