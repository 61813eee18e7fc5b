"""What a shown action teaches, and what it earned: one rule for learner, warm start and lift.

An outcome *holds* unless it was taken back or revised. It is put down to an action if it occurred
within its window, which begins when the action was shown. What is told of several decisions under
one ``shared_id`` happened once: the catalogue's ``attribution`` says who has which share of it.
Nothing here depends on the order in which outcomes arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from features.business.catalog import Action, Catalog

# Of (shared_id, decision_id, action_id): which part of what happened is that action's.
Shares = Mapping[tuple[str, str, str], float]


class ShownAction(NamedTuple):
    """An action that a decision showed, and until when an outcome is put down to it."""

    decision_id: str
    action_id: str
    shown_at: datetime
    ends_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """Decision and action."""
        return self.decision_id, self.action_id


class ReportedOutcome(NamedTuple):
    """One outcome as it was told."""

    outcome_id: str
    outcome: str
    occurred_at: datetime
    retracts: str | None = None
    revises: str | None = None
    value: float | None = None
    shared_id: str | None = None


class AttributedAction(NamedTuple):
    """A shown action with the outcomes that hold and are put down to it, if others do not share
    in them."""

    shown: ShownAction
    heard: tuple[ReportedOutcome, ...]


def touch(
    shown: ShownAction, outcomes: Iterable[ReportedOutcome], catalog: Catalog
) -> AttributedAction:
    """Keep of all that was told of a shown action what holds and is put down to it.

    What a retraction or a revision names is gone for good: taking a revision back brings nothing
    back. An outcome that the catalogue knows no more says nothing.

    Parameters
    ----------
    outcomes
        Of this action of this decision, in any order.
    """
    outcomes = list(outcomes)
    gone = {said.retracts or said.revises for said in outcomes}
    action = catalog.actions.get(shown.action_id)
    heard = (
        said
        for said in outcomes
        if not said.retracts
        and said.outcome_id not in gone
        and said.outcome in catalog.outcomes
        and shown.shown_at <= said.occurred_at <= _ends_at(shown, said.outcome, action)
    )
    return AttributedAction(shown, tuple(heard))


def shares(touches: Iterable[AttributedAction], catalog: Catalog) -> Shares:
    """Who has which share in what several actions were told of.

    Those take part who were told of it in their window, by an outcome that speaks of acceptance or
    earns something. ``last_touch`` gives it to the action that was shown last, ``first_touch`` to
    the first, and of several at one instant to the one whose decision's and own name sorts first;
    ``even`` gives all alike.

    Parameters
    ----------
    touches
        All that share in a ``shared_id``, for each that occurs in them.
    """
    taking_part: dict[str, list[ShownAction]] = {}
    for shown, heard in touches:
        action = catalog.actions.get(shown.action_id)
        for name in {one.shared_id for one in heard if _matters(one.outcome, action, catalog)}:
            if name is not None:
                taking_part.setdefault(name, []).append(shown)
    return {
        (name, *one.key): share
        for name, those in taking_part.items()
        for one, share in _divided(those, catalog).items()
    }


def credit(
    touch: AttributedAction, shares: Shares, now: datetime, catalog: Catalog
) -> float | None:
    """The acceptance that outcomes speak of, once one does; 0 after a window of silence.

    What another action has got the credit for is not heard here.

    Returns
    -------
    float or None
        Acceptance in [0, 1]; None while there is nothing to say.
    """
    clear = [
        acceptance * share
        for one in touch.heard
        if (acceptance := catalog.outcomes[one.outcome].acceptance) is not None
        and (share := _share(touch.shown, one, shares)) > 0
    ]
    if clear:
        return max(clear)
    return 0.0 if now > touch.shown.ends_at else None


def earned(touch: AttributedAction, shares: Shares, catalog: Catalog) -> float:
    """What followed a shown action, in the domain's currency, before the cost of showing it.

    If the action lists ``outcomes`` in the catalogue: the sum of the rewards of those that are put
    down to it, each name once, as last said, times its share. Else acceptance x value. An action
    that the catalogue has no more earns nothing.
    """
    action = catalog.actions.get(touch.shown.action_id)
    if action is None:
        return 0.0
    if not action.outcomes:  # silence is no acceptance, sooner or later
        return (credit(touch, shares, touch.shown.shown_at, catalog) or 0.0) * action.value
    last: dict[str, ReportedOutcome] = {}
    for one in sorted(touch.heard, key=lambda one: (one.occurred_at, one.outcome_id)):
        if one.outcome in action.outcomes and _share(touch.shown, one, shares) > 0:
            last[one.outcome] = one
    return sum(_worth(one, action) * _share(touch.shown, one, shares) for one in last.values())


def reward(touch: AttributedAction, shares: Shares, catalog: Catalog) -> float:
    """What a shown action brought in the domain's currency: what it earned less its cost."""
    action = catalog.actions.get(touch.shown.action_id)
    return earned(touch, shares, catalog) - (action.cost if action else 0.0)


def _ends_at(shown: ShownAction, outcome: str, action: Action | None) -> datetime:
    """Until when an outcome is put down to the action: never longer than the decision said."""
    expected = action.outcomes.get(outcome) if action else None
    if expected is None or expected.attribution_days is None:
        return shown.ends_at
    return min(shown.ends_at, shown.shown_at + timedelta(days=expected.attribution_days))


def _matters(outcome: str, action: Action | None, catalog: Catalog) -> bool:
    listed = action is not None and outcome in action.outcomes
    return listed or catalog.outcomes[outcome].acceptance is not None


def _divided(those: list[ShownAction], catalog: Catalog) -> dict[ShownAction, float]:
    if catalog.attribution == "even":
        return dict.fromkeys(those, 1 / len(those))
    pick = max if catalog.attribution == "last_touch" else min
    at = pick(one.shown_at for one in those)
    winner = min(one for one in those if one.shown_at == at)  # the names break the tie
    return {one: float(one == winner) for one in those}


def _share(shown: ShownAction, said: ReportedOutcome, shares: Shares) -> float:
    if said.shared_id is None:
        return 1.0
    return shares.get((said.shared_id, *shown.key), 0.0)


def _worth(said: ReportedOutcome, action: Action) -> float:
    told = action.outcomes[said.outcome].reward
    return (said.value or 0.0) if told == "told" else told
