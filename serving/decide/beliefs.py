"""Beliefs about the actions: of the models, and of the business.

They are kept with a decision, so that no model is asked when it is made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.business.catalog import Catalog
from features.business.decided_actions import Beliefs
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import Explanation
from serving.decide.decision_setup import DecisionSetup, Models
from serving.decide.step_results import ActionPredictions, CompleteDecision
from serving.policies.arbitration import assumed_values, with_conditional_priors
from training.arrays import Bools, Floats
from training.bandit.stacking import Prediction
from training.effects.effect_prediction import EffectPrediction


def predict(setup: DecisionSetup, row: Floats, channel: str) -> ActionPredictions:
    """Ask the models for the acceptance and, where the objective counts them, for the effects."""
    counts = setup.compiled.remaining is not None
    effects = setup.models.predict_effects(row, channel) if counts else None
    return ActionPredictions(setup.models.predict(row, channel), effects)


def with_priors(
    setup: DecisionSetup, holds: Bools, found: ActionPredictions, is_logged: bool
) -> tuple[ActionPredictions, Floats]:
    """Add what the business believes: the conditional priors, and what it assumes of effects.

    Parameters
    ----------
    holds : shape (n_conditions,)
        Which conditions of the catalogue hold in this decision context.
    is_logged
        Whether ``found`` was believed at a logged decision: its acceptance holds the priors, but
        for the actions of which the models were ``asked`` now.

    Returns
    -------
    The predictions, and what is assumed that each action adds, of shape (n_actions,).
    """
    compiled, models = setup.compiled, setup.models
    counted = 0.0 if found.effects is None else models.effects_counted
    assumed = assumed_values(compiled, holds, counted)
    if found.assumed is not None:
        assumed = np.where(np.isnan(found.assumed), assumed, found.assumed)
    if not compiled.priors or (is_logged and found.asked is None):
        return found, assumed
    mixed = with_conditional_priors(compiled, holds, found.accepted, models.counted, found.asked)
    return found._replace(accepted=mixed), assumed


def pack_beliefs(complete: CompleteDecision) -> bytes:
    """Write acceptance, effects and chance of each action that the first slot was allowed.

    Those are the candidates of the later slots too: filling a slot only removes actions. An action
    whose chance is 0 in the first slot may have one in the second, so it is written as well.
    """
    prediction, selected = complete.scored.prediction, complete.selected
    index, no_action = complete.setup.compiled.index, len(complete.setup.compiled.actions)
    allowed = selected.allowed
    effects, assumed = complete.scored.effects, complete.scored.assumed
    rows = [] if effects is None else [*effects, assumed] if assumed.any() else [*effects]
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
        effects=np.stack(rows)[:, allowed] if rows else None,
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
    effects = np.full((5, beliefs.n_actions), np.nan)
    effects[:4, beliefs.allowed] = beliefs.effects[:4]
    effects[4, beliefs.allowed] = _assumed(beliefs)
    return ActionPredictions(accepted, EffectPrediction(*effects[:4]), assumed=effects[4])


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
    return ActionPredictions(accepted, effects, asked, _mixed_assumed(beliefs, then, now, kept))


def believed_effects(
    row: Any, then: Catalog, now: Catalog, models: Models, accepted: Prediction
) -> ActionPredictions:
    """Read which effects were believed, for a policy that predicts the acceptance anew.

    Parameters
    ----------
    row, then, now, models
        As for `mixed_beliefs`; the models tell the effects of actions that were no candidates.
    accepted
        The acceptance, predicted anew.
    """
    beliefs = Beliefs.from_bytes(row.believed)
    kept = _kept(beliefs, then, now)
    predicted = models.predict_effects(np.frombuffer(row.features), row.channel)
    effects = _mixed_effects(beliefs, now, kept, predicted)
    return ActionPredictions(accepted, effects, assumed=_mixed_assumed(beliefs, then, now, kept))


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
        effects[:, here] = 0.0 if beliefs.effects is None else beliefs.effects[:4, there]
    return EffectPrediction(*effects)


def _assumed(beliefs: Beliefs) -> Floats:
    """Read what was assumed of each allowed action; 0 if an earlier release assumed nothing."""
    if beliefs.effects is None or len(beliefs.effects) == 4:
        return np.zeros(len(beliefs.allowed))
    found: Floats = beliefs.effects[4]
    return found


def _mixed_assumed(
    beliefs: Beliefs, then: Catalog, now: Catalog, kept: Sequence[tuple[int, int]]
) -> Floats | None:
    """Read what was assumed of the same actions; ``nan`` of others, None if all is computed again.

    Before there were effects, nothing was kept: what the catalogue assumes counted fully.
    """
    cost_and_weight = [(one.assumed_cost, one.assumption_weight) for one in (then, now)]
    if beliefs.effects is None or not kept or len(set(cost_and_weight)) > 1:
        return None
    found, (here, there) = np.full(len(now.actions), np.nan), np.array(kept, dtype=np.intp).T
    found[here] = _assumed(beliefs)[there]
    return found


def told_contributions(answer: Mapping[str, Any]) -> dict[str, Explanation] | None:
    """Read the contributions to acceptance that an answer has told; None if it told none."""
    if not answer["explanation"]:
        return None
    return {
        one["action_id"]: Explanation.model_validate(one["contributions"])
        for one in answer["explanation"]["candidates"]
        if one["contributions"] is not None
    }
