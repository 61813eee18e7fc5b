"""The objective of the priority: accepted offers, or what showing an action adds."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.business.domain import Domain
from features.business.yaml_file import Frozen

ACCEPTANCE: Literal["acceptance"] = "acceptance"
ADDED_VALUE: Literal["added_value"] = "added_value"
PriorityObjective = Literal["acceptance", "added_value"]
# With `added_value`, unless the catalogue says another one.
NO_ACTION_SHARE, EXPLORATION_SCALE = 0.03, 0.4
ASSUMPTION_WEIGHT = 30_000.0


def _is_zero(number: float) -> bool:
    return number == 0


class ObjectiveKeys(Frozen):
    """The keys of a catalogue that say what its priority is about.

    Attributes
    ----------
    objective
        ``acceptance`` ranks actions by the value of their acceptances. ``added_value`` adds to it
        what an action changes against `no_action`: other purchases, and the customers who leave.
        A file that does not say it gets `default_objective`.
    no_action_share
        The least probability of `no_action` in the first slot where an action is allowed. It is
        what `no_action` is measured by. Default: 0.03 with ``added_value``, else 0.
    experiment_at_first
        The share of the decisions that are an experiment as long as no effect is known: half of
        them show nothing, and in the others each allowed action has the same probability. Effects
        are measured by it, so those of the first days are the sooner known. Default: 0. Only
        ``added_value`` reads it.
    contact_cost_at_first
        What showing any action is assumed to take away, in the domain's currency, before effects
        are known: who buys today would often have bought next week, and who is contacted too often
        buys less, and leaves. A prior that says what an action ``adds`` replaces it. Default: 0.
        Only ``added_value`` reads it.
    assumption_weight
        What is assumed counts half when effects were learned from so many decisions, a quarter
        from three times as many, and so on. Default: 30,000.
    exploration_scale
        Factor on the standard deviations of priorities. Of many actions of which none is worth its
        cost, one often looks as if it were; a smaller factor tries less. Default: 0.4 with
        ``added_value``, else 1.
    """

    # All are left out of the JSON where they change nothing, so that fingerprints of older
    # catalogues stay.
    objective: Annotated[PriorityObjective, Field(exclude_if=lambda one: one == ACCEPTANCE)] = (
        ACCEPTANCE
    )
    no_action_share: Annotated[
        Annotated[float, Field(ge=0, le=0.5)] | None, Field(exclude_if=lambda share: share is None)
    ] = None
    experiment_at_first: Annotated[float, Field(ge=0, le=1, exclude_if=_is_zero)] = 0.0
    contact_cost_at_first: Annotated[
        float, Field(ge=0, allow_inf_nan=False, exclude_if=_is_zero)
    ] = 0.0
    assumption_weight: Annotated[
        float, Field(gt=0, le=1e9, exclude_if=lambda weight: weight == ASSUMPTION_WEIGHT)
    ] = ASSUMPTION_WEIGHT
    exploration_scale: Annotated[
        Annotated[float, Field(ge=0, le=10)] | None, Field(exclude_if=lambda scale: scale is None)
    ] = None

    @model_validator(mode="after")
    def _defaults_of_the_objective(self) -> Self:
        if self.pays_effects:  # a frozen model cannot be assigned
            for name, value in (
                ("no_action_share", NO_ACTION_SHARE),
                ("exploration_scale", EXPLORATION_SCALE),
            ):
                if getattr(self, name) is None:
                    self.__dict__[name] = value
        return self

    @property
    def pays_effects(self) -> bool:
        """True if the priority counts what an action adds to other purchases and to leaving."""
        return self.objective == ADDED_VALUE

    @property
    def least_no_action(self) -> float:
        """The least probability of `no_action` in the first slot where an action is allowed."""
        return self.no_action_share or 0.0

    @property
    def first_experiment(self) -> float:
        """The share of the decisions that are an experiment as long as no effect is known."""
        return self.experiment_at_first if self.pays_effects else 0.0

    @property
    def assumed_cost(self) -> float:
        """The amount that a showing is assumed to take away while no effect is known."""
        return self.contact_cost_at_first if self.pays_effects else 0.0

    @property
    def exploration(self) -> float:
        """Factor on the standard deviations of priorities."""
        return 1.0 if self.exploration_scale is None else self.exploration_scale

    @property
    def objective_in_words(self) -> str:
        """A sentence for people that says the objective, and the share that `no_action` keeps."""
        said = f"The objective is {self.objective}"
        if self.least_no_action:
            said += f"; no_action is drawn with a probability of at least {self.least_no_action:g}"
        if self.first_experiment:
            said += f"; until effects are known, {self.first_experiment:g} is an experiment"
        return f"{said}."


def default_objective(domain: Domain, formula: str | None = None) -> PriorityObjective:
    """Return the objective of a catalogue file that names none.

    It is ``added_value`` where the domain file says what is margin, or who leaves and what the
    customer would have been worth; else there is nothing to add, and it is ``acceptance``.

    Parameters
    ----------
    formula
        The catalogue's own formula of the priority. One that does not read ``added_value`` would
        not count what is learned, so the objective is ``acceptance``.
    """
    if formula is not None and not re.search(r"\badded_value\b", formula):
        return ACCEPTANCE
    remaining = domain.objective.remaining_value
    can_be_lost = remaining.attribute is not None or remaining.otherwise > 0
    leaving = domain.churn is not None and can_be_lost
    margin = bool(domain.objective.shares(domain.events))
    return ADDED_VALUE if margin or leaving else ACCEPTANCE
