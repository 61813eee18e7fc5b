"""Keeps with a decision what was believed, so that no model is asked when it is made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.business.catalog import Catalog
from features.business.decided_actions import Beliefs
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import Explanation
from serving.decide.decision_setup import Models
from serving.decide.step_results import ActionPredictions, CompleteDecision
from training.bandit.stacking import Prediction
from training.effects.effect_prediction import EffectPrediction


def pack_beliefs(complete: CompleteDecision) -> bytes:
    """Write acceptance, effects and chance of each action that the first slot was allowed.

    Those are the candidates of the later slots too: filling a slot only removes actions. An action
    whose chance is 0 in the first slot may have one in the second, so it is written as well.
    """
    prediction, selected = complete.scored.prediction, complete.selected
    index, no_action = complete.setup.compiled.index, len(complete.setup.compiled.actions)
    allowed = selected.allowed
    effects = complete.scored.effects
    names = (one.action_id for one in selected.decision.actions)
    shown = np.array([index[name] for name in names if name in index], dtype=np.intp)
    return Beliefs(
        n_actions=no_action,
        allowed=allowed,
        acceptance=prediction.acceptance[allowed],
        deviation=prediction.deviation[allowed],
        probability=np.concatenate((selected.chances[allowed], selected.chances[-1:])),
        shown=allowed.searchsorted(shown),
        experts=prediction.expert_predictions[:, shown].T,
        effects=None if effects is None else np.stack(effects)[:, allowed],
    ).to_bytes()


def read_beliefs(
    believed: bytes | None, record: Mapping[str, Any], compiled: CompiledCatalog
) -> ActionPredictions | None:
    """Read what was believed when a decision was made.

    Parameters
    ----------
    believed
        The column of that name of a decision.
    record
        Its record, read.
    compiled
        The catalogue of the decision; for another one see `mixed_beliefs`.

    Returns
    -------
    ActionPredictions or None
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
    accepted = Prediction(acceptance, deviation, experts)
    if beliefs.effects is None:
        return ActionPredictions(accepted)
    effects = np.full((4, beliefs.n_actions), np.nan)
    effects[:, beliefs.allowed] = beliefs.effects
    return ActionPredictions(accepted, EffectPrediction(*effects))


def mixed_beliefs(
    row: Any, then: Catalog, now: Catalog, models: Models
) -> ActionPredictions | None:
    """Read what was believed of the actions of another catalogue, and ask the models for the rest.

    Parameters
    ----------
    row
        With the columns ``believed``, ``features`` and ``channel`` of a decision.
    then
        The catalogue of the decision.
    now
        The other catalogue.
    models
        Those of the decision, for the other catalogue.

    Returns
    -------
    ActionPredictions or None
        With ``asked``. None like `read_beliefs`.
    """
    if row.believed is None:
        return None
    beliefs, actions = Beliefs.from_bytes(row.believed), now.actions
    kept = _kept(beliefs, then, now)
    features = np.frombuffer(row.features)
    predicted = models.predict(features, row.channel)
    acceptance, deviation = predicted.acceptance.copy(), predicted.deviation.copy()
    asked = np.ones(len(actions), dtype=bool)
    if kept:
        here, there = np.array(kept, dtype=np.intp).T
        acceptance[here], deviation[here] = beliefs.acceptance[there], beliefs.deviation[there]
        asked[here] = False
    accepted = Prediction(acceptance, deviation, predicted.expert_predictions)
    effects = _mixed_effects(beliefs, now, kept, models.predict_effects(features, row.channel))
    return ActionPredictions(accepted, effects, asked)


def believed_effects(
    row: Any, then: Catalog, now: Catalog, models: Models
) -> EffectPrediction | None:
    """Read which effects were believed, for a policy that predicts the acceptance anew.

    Parameters
    ----------
    row, then, now, models
        As for `mixed_beliefs`; the models tell the effects of actions that were no candidates.
    """
    beliefs = Beliefs.from_bytes(row.believed)
    predicted = models.predict_effects(np.frombuffer(row.features), row.channel)
    return _mixed_effects(beliefs, now, _kept(beliefs, then, now), predicted)


def _kept(beliefs: Beliefs, then: Catalog, now: Catalog) -> list[tuple[int, int]]:
    """Positions in the catalogue of now, and among the beliefs, of what still is the same action.

    It is in both catalogues, was allowed, and has the prior that it had.
    """
    names, actions = list(then.actions), now.actions
    place = {names[index]: at for at, index in enumerate(beliefs.allowed.tolist())}
    return [
        (index, place[name])
        for index, name in enumerate(actions)
        if name in place and actions[name].prior == then.actions[name].prior
    ]


def _mixed_effects(
    beliefs: Beliefs,
    now: Catalog,
    kept: Sequence[tuple[int, int]],
    predicted: EffectPrediction | None,
) -> EffectPrediction | None:
    """Read which effects were believed, and take those of the other actions from a model.

    Parameters
    ----------
    kept
        Positions of an action in the catalogue of now, and among the beliefs.
    predicted
        None: there is no model, so the effects of the others are 0.
    """
    if not now.pays_effects or (beliefs.effects is None and predicted is None):
        return None
    effects = np.zeros((4, len(now.actions))) if predicted is None else np.stack(predicted)
    if kept:
        here, there = np.array(kept, dtype=np.intp).T
        effects[:, here] = 0.0 if beliefs.effects is None else beliefs.effects[:, there]
    return EffectPrediction(*effects)


def told_contributions(answer: Mapping[str, Any]) -> dict[str, Explanation] | None:
    """Read the contributions to acceptance that an answer has told; None if it told none."""
    if not answer["explanation"]:
        return None
    return {
        one["action_id"]: Explanation.model_validate(one["contributions"])
        for one in answer["explanation"]["candidates"]
        if one["contributions"] is not None
    }
