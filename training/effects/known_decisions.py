"""The labelled decisions that a fit reads, by the actions of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from features.value_labels.labelled_decisions import LabelledDecisions, joined
from training.arrays import Bools, Floats
from training.effects.effect_blocks import centred_indicators

WITHIN_DAY = 0.5  # days: on average, on the day that a whole number of days means
LEAST_AGE_DAYS = 1.0  # before, hardly a purchase can have followed
ROUNDING = 1e-9  # chances that miss 1 by less add up to 1

# Reads decisions: all of them, or every n-th one. Called several times.
ReadDecisions = Callable[[int], Iterator[LabelledDecisions]]


def sampled_decisions(
    read: ReadDecisions, every: int, actions: tuple[str, ...]
) -> LabelledDecisions | None:
    """Join every n-th decision, by these actions; None: there is none."""
    parts = [known_decisions(some, actions) for some in read(every)]
    parts = [part for part in parts if part.n_decisions]
    return joined(parts) if parts else None


def known_decisions(some: LabelledDecisions, actions: tuple[str, ...]) -> LabelledDecisions:
    """Keep the decisions whose shown action is among these, by these actions.

    Their chances are those of a draw among these actions, given that one of them was drawn.
    """
    found = some if some.actions == actions else some.for_actions(actions)
    is_known = found.shown >= 0
    if not is_known.all():
        found = found.take(is_known)
    drawn = found.chances.sum(axis=1, keepdims=True)
    if (drawn > 1 - ROUNDING).all():
        return found
    return found._replace(chances=found.chances / np.maximum(drawn, ROUNDING))


def is_ripe(some: LabelledDecisions) -> Bools:
    """Mark the decisions that are so old that purchases may have followed, shape (n,)."""
    found: Bools = some.age_days >= LEAST_AGE_DAYS
    return found


def other_purchases(ripe: LabelledDecisions, horizon_days: float) -> tuple[Floats, Floats]:
    """Extrapolate the purchases beyond the credited acceptances to the whole horizon.

    If young decisions counted with what has followed so far, effects would seem to change with
    every feature that grows in time. What follows is taken to come evenly. In truth most of it
    comes within days, so that young decisions overstate an effect; to take it as it comes has
    earned less, as effects are then believed before they are known.

    Returns
    -------
    margin : shape (n,)
    weight : shape (n,)
        The share of the horizon that has passed: what is extrapolated from few days is noise.
    """
    share = np.minimum(ripe.age_days / horizon_days, 1.0)
    return ripe.other_margin / share, share


def credited_by_showing(some: LabelledDecisions) -> float:
    """Average what the acceptances of a showing bring, in the domain's currency, not below 0."""
    is_shown = some.shown < len(some.actions)
    return max(float(some.credited[is_shown].mean()), 0.0) if is_shown.any() else 0.0


def watched_days(some: LabelledDecisions, followed: Floats) -> Floats:
    """Days that each customer was watched: until it left, at most as long as followed."""
    until = np.where(np.isnan(some.left_after_days), np.inf, some.left_after_days + WITHIN_DAY)
    watched: Floats = np.minimum(until, followed)
    return watched


def centred_actions(some: LabelledDecisions) -> Floats:
    """Centre the indicators of the actions that were shown; see `centred_indicators`."""
    return centred_indicators(some.shown, some.chances)
