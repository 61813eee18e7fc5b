"""Keeps with a decision what was believed, so that no model is asked when it is made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from features.business.decided_actions import Beliefs
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.decide.step_results import CompleteDecision
from training.bandit.stacking import Prediction


def pack_beliefs(complete: CompleteDecision) -> bytes:
    """Write acceptance, deviation and chance of each action that the first slot was allowed.

    Those are the candidates of the later slots too: filling a slot only removes actions. An action
    whose chance is 0 in the first slot may have one in the second, so it is written as well.
    """
    prediction, selected = complete.scored.prediction, complete.selected
    index, no_action = complete.setup.compiled.index, len(complete.setup.compiled.actions)
    allowed = selected.allowed
    names = [one.action_id for one in selected.decision.actions]
    shown = np.array([index[name] for name in names if name in index], dtype=np.intp)
    return Beliefs(
        n_actions=no_action,
        allowed=allowed,
        acceptance=prediction.acceptance[allowed],
        deviation=prediction.deviation[allowed],
        probability=selected.chances[np.append(allowed, no_action)],
        shown=allowed.searchsorted(shown),
        experts=prediction.expert_predictions[:, shown].T,
    ).to_bytes()


def read_beliefs(
    believed: bytes | None, record: Mapping[str, Any], compiled: CompiledCatalog
) -> Prediction | None:
    """Read what was believed when a decision was made.

    Parameters
    ----------
    believed
        The column of that name of a decision.
    record
        Its record, read.
    compiled
        The catalogue to predict for. Another one than that of the decision must be told by
        `features.business.decided_actions.Beliefs` instead.

    Returns
    -------
    Prediction or None
        ``nan`` for actions that were no candidates. None: an earlier release made the decision,
        and kept no deviations.
    """
    if believed is None:
        return None
    beliefs = Beliefs.from_bytes(believed)
    acceptance, deviation = np.full((2, beliefs.n_actions), np.nan)
    acceptance[beliefs.allowed], deviation[beliefs.allowed] = beliefs.acceptance, beliefs.deviation
    experts = np.full((beliefs.experts.shape[1], beliefs.n_actions), np.nan)
    experts[:, beliefs.allowed[beliefs.shown]] = beliefs.experts.T
    return Prediction(acceptance, deviation, experts)
