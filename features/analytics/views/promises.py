"""The promises of a kind of journey: how often each was kept and broken, and what is due."""

from __future__ import annotations

from dataclasses import dataclass

from features.analytics.views.lists import Number
from features.business.journey_rules.promises import Template


@dataclass(frozen=True, slots=True)
class DueActivation:
    """An open activation of a promise that has a time.

    Attributes
    ----------
    customer_id : str
    journey : int
    activated_us, due_us : int
        Microseconds since 1970.
    hours_left : float
        From the moment of the data.
    """

    customer_id: str
    journey: int
    activated_us: int
    due_us: int
    hours_left: float


@dataclass(frozen=True, slots=True)
class PromiseView:
    """One version of a promise over the journeys that are judged by it.

    Attributes
    ----------
    name, journey : str
        Its name, and the kind of journey.
    version : int
        Of what is expected of the kind; `since` is its first day, as 2026-09-01.
    template, words, owner : str
        The words say it as in ``ordered, then delivery within 3 days`` where the file has none.
    activations : Number
        kept + broken + open + void.
    kept_share : float or None
        kept / (kept + broken); None if none was decided.
    late, late_median_s, late_p90_s : Number, float or None
        Broken ones for which the step came too late, and how much.
    early_median_s, early_p90_s : float or None
        How much before its due time the step came, of the kept ones.
    exceeded : Number or None
        Kept in half of the time or less; of a precedence, with twice the time or more. None for
        templates in which nothing is to come.
    due_soon : Number
        Open ones that are due within 24 hours.
    due : tuple of DueActivation
        The next ones that are due.
    """

    name: str
    journey: str
    version: int
    since: str
    template: Template
    words: str
    owner: str
    activations: Number
    kept: Number
    broken: Number
    open: Number
    void: Number
    kept_share: float | None
    late: Number
    late_median_s: float | None
    late_p90_s: float | None
    early_median_s: float | None
    early_p90_s: float | None
    exceeded: Number | None
    due_soon: Number
    due: tuple[DueActivation, ...]
