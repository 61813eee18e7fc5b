"""The settings of LightGBM that the boosted trees of several modules share."""

from __future__ import annotations

from typing import Any

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
