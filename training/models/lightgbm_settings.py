"""LightGBM without scikit-learn, and the settings that the boosted trees of several modules share.

All modules import `lightgbm` from here. LightGBM imports scikit-learn for its estimators, which
this project does not use: it trains with `lightgbm.train` and predicts with boosters. The import of
scikit-learn takes 1.1 s of CPU time in each worker of the server, the learner, and each command.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# On ARM, scikit-learn must be imported before LightGBM (issue 6509 of LightGBM).
SEPARABLE = platform.machine() in ("x86_64", "AMD64")


@contextmanager
def _without_sklearn() -> Iterator[None]:
    """Make scikit-learn look as if it were not installed, unless it is imported already."""
    if "sklearn" in sys.modules or not SEPARABLE:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # its import raises ImportError
    try:
        yield
    finally:
        del sys.modules["sklearn"]


with _without_sklearn():
    import lightgbm

__all__ = ["SEPARABLE", "SHARED", "boosting_settings", "lightgbm"]

SHARED: dict[str, Any] = {
    "objective": "regression",
    "num_leaves": 15,
    # The same rows must give the same trees, on any number of cores.
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def boosting_settings(**overrides: Any) -> dict[str, Any]:
    """Return the shared settings with the overrides of one model.

    Parameters
    ----------
    overrides
        Settings of LightGBM, by their names there. Where a model needs another value, its reason
        stands beside the call.
    """
    return SHARED | overrides
