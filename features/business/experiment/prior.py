"""The expectations of a business about an action, before decisions have told more."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.business.catalog_rules import Condition
from features.business.yaml_file import Frozen

Weight = Annotated[float, Field(gt=0, le=1e6)]
Acceptance = Annotated[float, Field(gt=0, lt=1)]
# Left out of the JSON where nothing is said, so that fingerprints of older catalogues stay.
Adds = Annotated[
    Annotated[float, Field(ge=-1e9, le=1e9)] | None, Field(exclude_if=lambda one: one is None)
]


class ConditionalPrior(Frozen):
    """The expected acceptance where a condition holds; it counts as ``weight`` observations.

    ``adds`` is what showing the action is expected to add there beyond the value of its acceptance,
    in the domain's currency, such as a customer who stays; None: as much as elsewhere. See
    ``assumption_weight`` of `ObjectiveKeys`. Only the objective ``added_value`` counts it.
    """

    when: Condition
    acceptance: Acceptance
    weight: Weight = 300.0
    adds: Adds = None


class Prior(Frozen):
    """The expected acceptance before there are outcomes; it counts as ``weight`` observations.

    Of the priors of ``where``, the first one whose condition holds is mixed with what is learned,
    by its weight and the number of the action's outcomes. So what the business knows from the
    start, such as who looks at what, decides in the first days, and is forgotten later.

    ``adds`` is what showing the action is expected to add, as in `ConditionalPrior`, where no
    condition says another number; None: minus the catalogue's ``contact_cost_at_first``.
    """

    acceptance: Acceptance
    weight: Weight = 30.0
    adds: Adds = None
    # Left out of the JSON if it is empty, so that fingerprints of older catalogues stay.
    where: Annotated[
        tuple[ConditionalPrior, ...],
        Field(max_length=100, exclude_if=lambda where: not where),
    ] = ()
