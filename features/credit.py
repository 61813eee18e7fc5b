"""What a decided action teaches: the one rule for the warm start and for the learner."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from features.catalog import Catalog


class Said(NamedTuple):
    """One outcome of a decided action."""

    outcome_id: str
    outcome: str
    occurred_at: datetime
    retracts: str | None = None


def credit(
    outcomes: Iterable[Said],
    decided_at: datetime,
    window_ends_at: datetime,
    now: datetime,
    catalog: Catalog,
) -> float | None:
    """The acceptance that outcomes speak of, once one does; 0 after a window of silence.

    Parameters
    ----------
    outcomes
        Of one action of one decision, in any order.
    decided_at, window_ends_at
        What occurred outside is not put down to the decision.

    Returns
    -------
    float or None
        Acceptance in [0, 1]; None while there is nothing to say.
    """
    outcomes = list(outcomes)
    gone = {said.retracts for said in outcomes if said.retracts}
    heard = [
        catalog.outcomes[said.outcome].acceptance
        for said in outcomes
        if not said.retracts
        and said.outcome_id not in gone
        and decided_at <= said.occurred_at <= window_ends_at
        and said.outcome in catalog.outcomes
    ]
    clear = [acceptance for acceptance in heard if acceptance is not None]
    if clear:
        return max(clear)
    return 0.0 if now > window_ends_at else None
