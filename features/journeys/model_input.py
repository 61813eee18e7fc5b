"""The input row of models: journey features, attributes, and features of the account.

Training and serving both use it. So a model gets each column in the position and with the meaning
that it was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from math import nan

import numpy as np
from numpy.typing import NDArray

from features.business.domain import Domain
from features.business.event_types import STAGES, Attribute
from features.business.journey_rules.kinds import JourneyKind
from features.business.journey_rules.node_labels import labels_of
from features.journeys.descriptions import (
    AMOUNT,
    CATEGORY,
    NUMBER,
    FeatureDescription,
    Quantity,
    humanize,
    is_plural,
)
from features.journeys.fold import Fold, State
from features.journeys.leaving import Leaving

PACKING = "parts"  # the format of `Fold.pack`; to be renamed when the format changes


class ModelInput:
    """Makes the row of numbers that every model of a business reads.

    Attributes
    ----------
    fold : Fold
        Computes the journey features from a state.
    leaving : Leaving
        Finds out from a state whether the customer has left.
    names : tuple of str
        Name of each number, in order: journey features, attributes that models read, features of
        the account.
    layout, fingerprint : str
        Hashes of the layout of a state and of a row, and of the rules behind their numbers. A state
        or a row of another layout cannot be read.
    """

    def __init__(self, domain: Domain) -> None:
        self.fold = Fold(domain)
        self.leaving = Leaving(domain, self.fold)
        self._currency = domain.currency
        self._attributes = tuple(kept for kept in domain.attributes.items() if kept[1].read)
        self._of_account = _of_account(self.fold, domain)
        self.names = (
            *self.fold.feature_names,
            *(name for name, _ in self._attributes),
            *(f"account_{self.fold.feature_names[index]}" for index in self._of_account),
        )
        # With the values, as their order gives the numbers their meaning.
        attributes = [f"{name}={known.type}:{known.values}" for name, known in self._attributes]
        rules = _rules(domain)
        stored = (PACKING, *self.fold.state_fields)
        self.layout = _fingerprint(*stored, *domain.attributes, *rules, *_leaving_rule(domain))
        self.fingerprint = _fingerprint(*self.names, *attributes, *rules)
        self._empty = self.fold.empty()
        self._without_events = np.array(self.fold.read(self._empty, 0.0))

    @cached_property
    def descriptions(self) -> Mapping[str, FeatureDescription]:
        """Descriptions of the numbers in plain English, by name, in the order of ``names``.

        They are made at the first use, as a decision without an explanation does not need them.
        """
        journey = self.fold.descriptions()
        descriptions = {name: journey[name] for name in self.fold.feature_names}
        for name, known in self._attributes:
            descriptions[name] = _describe_attribute(name, known, self._currency)
        for index in self._of_account:
            name = self.fold.feature_names[index]
            descriptions[f"account_{name}"] = journey[name].of_account()
        return descriptions

    def read(
        self,
        attributes: Mapping[str, str | None],
        state: State | None,
        at_s: float,
        account_state: State | None = None,
    ) -> list[float]:
        """Make the row of one customer at one moment.

        Parameters
        ----------
        attributes
            Values by name; a missing or unknown value becomes ``nan``.
        state : shape (len(fold.state_fields),), or None for a customer without events
        at_s : float
            The moment, seconds since 1970 (UTC).
        account_state : shape (len(fold.state_fields),), or None
            State of the customer's account: the events of all its members, folded together.

        Returns
        -------
        shape (len(names),)
        """
        row = self.fold.read(self._empty if state is None else state, at_s)
        row += [_number(attributes.get(name), known) for name, known in self._attributes]
        if self._of_account:
            account = self.fold.read(account_state or self._empty, at_s)
            row += [account[index] for index in self._of_account]
        return row

    @cached_property
    def stranger(self) -> NDArray[np.float64]:
        """The row of a customer without events and attributes, shape (len(names),), at any time."""
        return np.array(self.read({}, None, 0.0))

    def has_past(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mark the rows, shape (n, len(names)), of customers with at least one event."""
        journey = rows[:, : len(self._without_events)]
        alike = (journey == self._without_events) | (
            np.isnan(journey) & np.isnan(self._without_events)
        )
        past: NDArray[np.bool_] = ~alike.all(axis=1)
        return past


def _of_account(fold: Fold, domain: Domain) -> tuple[int, ...]:
    """Choose the features of the account, by index, that the rows of its members contain."""
    if domain.account is None:
        return ()
    longest = f"{domain.half_lives_days[-1]:g}d"
    wanted = {"events_n", "open_journeys", "open_problems", "problem_age_days"}
    wanted |= {f"{name}_silence_days" for name in domain.events}
    wanted |= {f"{name}_per_week_{longest}" for name in domain.events}
    wanted |= {name for name in fold.feature_names if name.startswith("feedback_")}
    return tuple(index for index, name in enumerate(fold.feature_names) if name in wanted)


def _number(value: str | None, known: Attribute) -> float:
    if value is None:
        return nan
    if known.type == "category":
        return float(known.values.index(value)) if value in known.values else nan
    try:
        return float(value)
    except ValueError:
        return nan


def _describe_attribute(name: str, known: Attribute, currency: str) -> FeatureDescription:
    if known.type == "category":
        label = humanize(name)
        return FeatureDescription(label, CATEGORY, f"{_are(label)} {AMOUNT}", values=known.values)
    quantity = Quantity.named(name, currency)
    if quantity.counts_itself:
        label = f"number of {quantity.label}"
        return FeatureDescription(label, quantity.unit, f"{label} is {NUMBER}")
    return FeatureDescription(
        quantity.description, quantity.unit, f"{_are(quantity.label)} {AMOUNT}"
    )


def _are(label: str) -> str:
    return f"{label} are" if is_plural(label) else f"{label} is"


def _rules(domain: Domain) -> list[str]:
    """List the rules of the domain that change a state or its features, but no name."""
    rules = [f"session {domain.session_minutes:g}"]
    if domain.stages != STAGES:
        rules.append(f"stages {domain.stages}")
    for name, kind in domain.journey_kinds.items():
        rules.append(f"{name} {kind.problem} {kind.lapse_days}")
        rules += _rules_of_steps(domain, name, kind)
    for name, event in domain.events.items():
        rules.append(f"{name} {event.journey} {event.stage} {event.step}")
        for property_name, known in event.properties.items():
            if known.measures:
                rules.append(f"{name} {property_name} {known.measures}")
    return rules


def _leaving_rule(domain: Domain) -> list[str]:
    """Return the rule that leaving ends all journeys, which states folded before do not follow.

    It is no part of the fingerprint of rows. It changes rows of people who have left alone, and
    decisions made before it must be repeated as they were.
    """
    return [f"leaving {domain.leaving_event}"] if domain.leaving_event else []


def _rules_of_steps(domain: Domain, name: str, kind: JourneyKind) -> list[str]:
    """List the rules by which one kind of journey is cut and judged, beside those of all kinds."""
    events = domain.events_of(name)
    with_case = [one for one, event in events.items() if kind.case in event.properties]
    rules = [f"{name} case {kind.case} of {with_case}"] if kind.case else []
    if kind.ends_when:
        used = [
            (one, known.type)
            for event in events.values()
            for one, known in event.properties.items()
        ]
        rules.append(f"{name} ends_when {kind.ends_when} {used}")
    if not any(one.promises for one in kind.expected):
        return rules
    for one in kind.expected:
        for promise, described in one.promises.items():
            judged = described.model_dump_json(exclude={"words", "owner"})
            rules.append(f"{name} {one.since} {promise} {judged}")
        if not one.promises:
            rules.append(f"{name} {one.since}")
    rules.append(f"{name} steps {labels_of(kind.map, events, domain.channels)}")
    return rules


def _fingerprint(*names: str) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
