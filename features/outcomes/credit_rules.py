"""Rules of credit and reward for a shown action, shared by learner, warm start and lift.

An outcome *holds* unless it was retracted or revised. It is attributed to an action if it occurred
within the action's window, which begins when the action was shown. Outcomes of several decisions
with one ``shared_id`` are one event: the catalogue's ``attribution`` rule divides its credit.
Nothing here depends on the order in which outcomes arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from features.business.catalog import Action, Catalog

# By (shared_id, decision_id, action_id): the share of the credit that goes to that action.
CreditShares = Mapping[tuple[str, str, str], float]


@dataclass(frozen=True, slots=True)
class Credit:
    """An acceptance and its weight, as the bandit learns them of a shown action.

    Attributes
    ----------
    acceptance : float in [0, 1]
    count : float in [0, 1]
        1 for a reported outcome; less for a silence that an acceptance may still end.
    """

    acceptance: float
    count: float


class ShownAction(NamedTuple):
    """An action that a decision showed, and the end of its attribution window.

    Attributes
    ----------
    rank : int
        From 1, the rank among the actions that the decision showed.
    """

    decision_id: str
    action_id: str
    shown_at: datetime
    ends_at: datetime
    rank: int = 1

    @property
    def key(self) -> tuple[str, str]:
        """Decision and action."""
        return self.decision_id, self.action_id


class ReportedOutcome(NamedTuple):
    """One outcome as it was reported."""

    outcome_id: str
    outcome: str
    occurred_at: datetime
    retracts: str | None = None
    revises: str | None = None
    value: float | None = None
    shared_id: str | None = None


class AttributedAction(NamedTuple):
    """A shown action with the outcomes that hold and occurred in its window.

    Some of the outcomes may be shared with other actions; see `credit_shares`.
    """

    shown: ShownAction
    outcomes: tuple[ReportedOutcome, ...]


def attribute_outcomes(
    shown: ShownAction, reported: Iterable[ReportedOutcome], catalog: Catalog
) -> AttributedAction:
    """Keep the reported outcomes of a shown action that hold and occurred in its window.

    An outcome that a retraction or a revision names is void for good: retracting the revision does
    not restore it. An outcome that the catalogue does not define any more is ignored.

    Parameters
    ----------
    reported
        Outcomes of this action of this decision, in any order.
    """
    reported = list(reported)
    void = {one.retracts or one.revises for one in reported}
    action = catalog.actions.get(shown.action_id)
    outcomes = (
        one
        for one in reported
        if not one.retracts
        and one.outcome_id not in void
        and one.outcome in catalog.outcomes
        and shown.shown_at <= one.occurred_at <= _ends_at(shown, one.outcome, action)
    )
    return AttributedAction(shown, tuple(outcomes))


def credit_shares(actions: Iterable[AttributedAction], catalog: Catalog) -> CreditShares:
    """Divide the credit for each shared outcome between the actions that it was reported for.

    An action takes part if the outcome occurred in its window and is one of acceptance or reward.
    ``last_touch`` gives all credit to the action that was shown last, ``first_touch`` to the one
    that was shown first; of several at one instant the one of the best rank gets it, and of those
    the first by decision id. ``even`` gives all the same share.

    Parameters
    ----------
    actions
        For each ``shared_id`` that occurs in them, all actions that it was reported for.
    """
    sharers: dict[str, list[ShownAction]] = {}
    for shown, outcomes in actions:
        action = catalog.actions.get(shown.action_id)
        for name in {one.shared_id for one in outcomes if _matters(one.outcome, action, catalog)}:
            if name is not None:
                sharers.setdefault(name, []).append(shown)
    return {
        (name, *one.key): share
        for name, among in sharers.items()
        for one, share in _divided(among, catalog).items()
    }


def told_acceptance(
    action: AttributedAction, shares: CreditShares, catalog: Catalog
) -> float | None:
    """The acceptance of a shown action: the largest that its outcomes report.

    A shared outcome whose credit went to another action is ignored.

    Returns
    -------
    float or None
        Acceptance in [0, 1]; None if the action is silent, that is without an outcome of
        acceptance. `silence` says how a silence counts.
    """
    reported = [
        acceptance * share
        for one in action.outcomes
        if (acceptance := catalog.outcomes[one.outcome].acceptance) is not None
        and (share := _share(action.shown, one, shares)) > 0
    ]
    return max(reported) if reported else None


def earned(action: AttributedAction, shares: CreditShares, catalog: Catalog) -> float:
    """The reward of a shown action in the domain's currency, before the cost of showing it.

    If the action lists ``outcomes`` in the catalogue, it is the sum of the rewards of those that
    are attributed to it, times their shares; each outcome name counts once, by its latest report.
    Else it is acceptance x value. An action that the catalogue does not have any more earns 0.
    """
    listed = catalog.actions.get(action.shown.action_id)
    if listed is None:
        return 0.0
    if not listed.outcomes:  # a silence earns nothing, before or after the end of the window
        return (told_acceptance(action, shares, catalog) or 0.0) * listed.value
    latest: dict[str, ReportedOutcome] = {}
    for one in sorted(action.outcomes, key=lambda one: (one.occurred_at, one.outcome_id)):
        if one.outcome in listed.outcomes and _share(action.shown, one, shares) > 0:
            latest[one.outcome] = one
    return sum(
        _reward_of(one, listed) * _share(action.shown, one, shares) for one in latest.values()
    )


def reward(action: AttributedAction, shares: CreditShares, catalog: Catalog) -> float:
    """The reward of a shown action in the domain's currency: what it earned less its cost."""
    listed = catalog.actions.get(action.shown.action_id)
    return earned(action, shares, catalog) - (listed.cost if listed else 0.0)


def _ends_at(shown: ShownAction, outcome: str, action: Action | None) -> datetime:
    """The end of an outcome's own window, at the latest the end that the decision logged."""
    expected = action.outcomes.get(outcome) if action else None
    if expected is None or expected.attribution_days is None:
        return shown.ends_at
    return min(shown.ends_at, shown.shown_at + timedelta(days=expected.attribution_days))


def _matters(outcome: str, action: Action | None, catalog: Catalog) -> bool:
    listed = action is not None and outcome in action.outcomes
    return listed or catalog.outcomes[outcome].acceptance is not None


def _divided(among: list[ShownAction], catalog: Catalog) -> dict[ShownAction, float]:
    if catalog.attribution == "even":
        return dict.fromkeys(among, 1 / len(among))
    pick = max if catalog.attribution == "last_touch" else min
    at = pick(one.shown_at for one in among)
    at_once = [one for one in among if one.shown_at == at]
    winner = min(at_once, key=lambda one: (one.rank, one.decision_id))
    return {one: float(one == winner) for one in among}


def _share(shown: ShownAction, outcome: ReportedOutcome, shares: CreditShares) -> float:
    if outcome.shared_id is None:
        return 1.0
    return shares.get((outcome.shared_id, *shown.key), 0.0)


def _reward_of(outcome: ReportedOutcome, action: Action) -> float:
    defined = action.outcomes[outcome.outcome].reward
    return (outcome.value or 0.0) if defined == "told" else defined
