"""The rules by which decisions are labelled, and the catalogues by which they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic_core import from_json

from features.business.catalog import NO_ACTION, Catalog
from features.business.domain import Domain
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.rewards.event_days import EventRules
from features.value_labels.labelled_decisions import GONE


class LabelRules:
    """The rules by which decisions are labelled.

    Parameters
    ----------
    catalog
        Its values and costs count, for actions that it does not have those of the catalogue with
        which each decision was made.
    actions
        The actions that the columns of chances stand for; None: those of the catalogue.
    horizon_days
        The days over which a decision is followed; None: as the objective says.
    """

    def __init__(
        self,
        domain: Domain,
        catalog: Catalog,
        model_input: ModelInput | None = None,
        actions: Sequence[str] | None = None,
        horizon_days: int | None = None,
    ) -> None:
        model_input = model_input or ModelInput(domain)
        objective = domain.objective
        self.actions = tuple(catalog.actions if actions is None else actions)
        self.horizon_days = objective.horizon_days if horizon_days is None else horizon_days
        self.events, self.layout = EventRules.of(domain), model_input.fingerprint
        self.prices = {name: (one.value, one.cost) for name, one in catalog.actions.items()}
        self.remaining = objective.remaining_value
        named = self.remaining.attribute
        # An attribute that models do not read is in the record of the decision.
        self.remaining_at = model_input.names.index(named) if named in model_input.names else None
        self.in_record = named is not None and self.remaining_at is None


class LoggedCatalogs:
    """The catalogues by which decisions were made: columns and prices of their actions.

    Attributes
    ----------
    columns : dict
        For each catalogue that was asked for and is known, by its fingerprint: the column of each
        of its actions, `no_action` last.
    prices : dict
        Value and cost of each action, in the domain's currency: those of today, or of a catalogue
        that was asked for.
    """

    def __init__(self, rules: LabelRules) -> None:
        self.rules = rules
        self.columns: dict[str, NDArray[np.int64]] = {}
        self.prices = dict(rules.prices)
        self._places = {name: place for place, name in enumerate(rules.actions)}
        self._places[NO_ACTION] = len(rules.actions)
        self._unknown: set[str] = set()

    def place(self, action_id: str) -> int:
        """Find the column of an action; `GONE` if there is none."""
        return self._places.get(action_id, GONE)

    def has(self, connection: sa.Connection, fingerprint: str) -> bool:
        """Return whether a catalogue is known; it is read from the ledger once."""
        if fingerprint not in self.columns and fingerprint not in self._unknown:
            stored = tables.catalogs.c
            query = sa.select(stored.content).where(stored.fingerprint == fingerprint)
            content = connection.execute(query).scalar()
            if content is None:
                self._unknown.add(fingerprint)
            else:
                self._add(fingerprint, from_json(content)["actions"])
        return fingerprint in self.columns

    def _add(self, fingerprint: str, actions: Mapping[str, Mapping[str, float]]) -> None:
        for name, one in actions.items():
            self.prices.setdefault(name, (one["value"], one["cost"]))
        columns = [*map(self.place, actions), self.place(NO_ACTION)]
        self.columns[fingerprint] = np.array(columns, dtype=np.int64)
