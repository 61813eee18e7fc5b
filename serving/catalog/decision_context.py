"""The decision context: the values that conditions, context weights and treatments may use.

Features and attributes have their own names. The other names are the predictions (`churn`,
`intent`, `intent_<class>`), the place (`channel`, `placement`, `context_<key>`), the customer's
local time (`hour`, `weekday`), the `stage` of their journey, their consents
(`consent_<purpose>`), and whether the customer is `known`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.conditions.names import Names
from features.conditions.terms import Kind
from features.errors import InvalidRequest, quoted
from features.journeys.category_names import value_names
from features.journeys.model_input import ModelInput
from training.arrays import Floats

_CLOCK_RANGES = {"hour": (0.0, 24 - 1 / 60), "weekday": (1.0, 7.0)}


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The values that a request and the predictions add to the features.

    Attributes
    ----------
    churn : float or None
        Probability; None without a model.
    intent : probability of each class, or None
    context : mapping
        Checked by `ContextReader.context`.
    consents : whether consent is given, by purpose
    local : datetime
        Time of the decision, on the customer's clock.
    """

    channel: str
    placement: str | None
    context: Mapping[str, Any]
    known: bool
    churn: float | None
    intent: Mapping[str, float] | None
    consents: Mapping[str, bool]
    local: datetime


class DecisionContext(NamedTuple):
    """The values of all names in one decision.

    ``numbers`` has shape (n_numbers,), and ``nan`` is unknown; in ``texts``, None is unknown.
    """

    numbers: Floats
    texts: Mapping[str, str | None]

    def value(self, name: str, names: Names) -> float | str | None:
        """The value of one name; None if unknown."""
        if name in self.texts:
            return self.texts[name]
        number = float(self.numbers[names.position[name]])
        return None if isnan(number) else number


class ContextReader:
    """Builds the context of each decision; made once for a catalogue and a domain.

    Raises
    ------
    ValueError
        If two values would have the same name.

    Attributes
    ----------
    names : Names
        All names that a condition may use.
    """

    def __init__(self, domain: Domain, catalog: Catalog, model_input: ModelInput) -> None:
        categories = {
            name: known.values
            for name, known in domain.attributes.items()
            if known.read and known.type == "category"
        }
        position = {name: index for index, name in enumerate(model_input.names)}
        self._columns = np.array(
            [index for name, index in position.items() if name not in categories], dtype=np.intp
        )
        self._categories = [(name, position[name], values) for name, values in categories.items()]
        self._stage_names = domain.stages
        self._stages = [
            (position[f"journey_{name}_stage"], position[f"journey_{name}_stage_days"])
            for name in domain.journey_kinds
        ]
        self._keys = catalog.context
        self._intents = domain.intents
        self._purposes = tuple(catalog.purposes)
        kinds: list[tuple[str, Kind]] = [
            *((name, "number") for name in position if name not in categories),
            *(("churn", "number"), ("hour", "number"), ("weekday", "number"), ("known", "truth")),
            *((f"intent_{name}", "number") for name in value_names(self._intents)),
            *((f"consent_{purpose}", "truth") for purpose in self._purposes),
            *((f"context_{key}", kept.type) for key, kept in self._keys.items()),
            *((name, "text") for name in (*categories, "channel", "placement", "stage", "intent")),
        ]
        counts = Counter(name for name, _ in kinds)
        duplicates = sorted(name for name, count in counts.items() if count > 1)
        if duplicates:
            raise ValueError(
                f"context: names that are free; {duplicates[0]} would mean two things in "
                "a condition"
            )
        probabilities = ("churn", *(f"intent_{name}" for name in value_names(self._intents)))
        self.names = Names(
            dict(kinds),
            {**categories, **_declared_texts(domain)},
            {**_CLOCK_RANGES, **dict.fromkeys(probabilities, (0.0, 1.0))},
        )

    def context(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Check a caller's context and keep the keys that the catalogue describes.

        Raises
        ------
        InvalidRequest
            If a value has another type than described.
        """
        kept = {}
        for key, described in self._keys.items():
            value = sent.get(key)
            if value is None:
                continue
            good: dict[str, Any] = {"number": (int, float), "text": str, "truth": bool}
            numeric_truth = described.type == "number" and isinstance(value, bool)
            if not isinstance(value, good[described.type]) or numeric_truth:
                raise InvalidRequest(
                    f"context.{key} is {quoted(value)}.",
                    expected=f"a {described.type}",
                    remedy="Correct it, or leave it out.",
                )
            kept[key] = value
        return kept

    def read(self, row: Floats, request: RequestContext) -> DecisionContext:
        """The context of one decision.

        Parameters
        ----------
        row : shape (len(model_input.names),)
            Model input of the customer.
        """
        intent = request.intent or {}
        context = request.context
        local = request.local
        extras = [
            nan if request.churn is None else request.churn,
            local.hour + local.minute / 60,
            float(local.isoweekday()),
            float(request.known),
            *(intent.get(name, nan) for name in self._intents),
            *(float(request.consents.get(purpose, False)) for purpose in self._purposes),
            *(
                float(context.get(key, nan))
                for key, kept in self._keys.items()
                if kept.type != "text"
            ),
        ]
        texts: dict[str, str | None] = {
            name: None if isnan(row[index]) else values[int(row[index])]
            for name, index, values in self._categories
        }
        texts |= {
            "channel": request.channel,
            "placement": request.placement,
            "stage": self.stage(row),
            "intent": max(intent, key=intent.__getitem__) if intent else None,
        }
        for key, kept in self._keys.items():
            if kept.type == "text":
                texts[f"context_{key}"] = context.get(key)
        return DecisionContext(np.concatenate([row[self._columns], extras]), texts)

    def category(self, row: Floats, name: str | None) -> str | None:
        """The text of a categorical attribute; None if it is unknown, or ``name`` is None."""
        for known, index, values in self._categories:
            if known == name and not isnan(row[index]):
                return values[int(row[index])]
        return None

    def stage(self, row: Floats) -> str | None:
        """The stage of the open journey with the latest event; None without an open journey."""
        best, newest = None, np.inf
        for stage, days in self._stages:
            if row[days] < newest:  # nan where no such journey is open
                best, newest = int(row[stage]), row[days]
        return None if best is None else self._stage_names[best]


def _declared_texts(domain: Domain) -> dict[str, tuple[str, ...]]:
    """All values of the texts, beside attributes, that can have no other ones."""
    return {
        "channel": tuple(domain.channels),
        "stage": domain.stages,
        "intent": tuple(domain.intents),
    }
