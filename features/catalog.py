"""What we can do for a customer: the action catalogue, edited by business people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.domain import Domain, Name
from features.errors import InvalidDomain
from features.yaml_file import load_yaml

NO_ACTION = "no_action"
Money = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(_Frozen):
    """What an outcome says about acceptance; ``None``: nothing yet."""

    acceptance: Annotated[float, Field(ge=0, le=1)] | None


class Prior(_Frozen):
    """The acceptance we believe in before there are outcomes, worth ``weight`` observations."""

    acceptance: Annotated[float, Field(gt=0, lt=1)]
    weight: Annotated[float, Field(gt=0, le=1e6)] = 30.0


class Action(_Frozen):
    """One thing we could do. ``value`` and ``cost`` are in the domain's currency."""

    issue: Name
    group: Name
    description: str = ""
    value: Money
    cost: Money
    lever: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    prior: Prior
    attribution_days: Annotated[float, Field(gt=0, le=366)]
    treatments: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]


class Catalog(_Frozen):
    """All actions and the outcomes they may have."""

    outcomes: Annotated[dict[Name, Outcome], Field(min_length=1)]
    actions: Annotated[dict[Name, Action], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _no_action_is_ours(self) -> Self:
        if NO_ACTION in self.actions:
            raise ValueError(f"actions.{NO_ACTION}: no such line; it is always there by itself")
        return self

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content: two catalogues with one fingerprint decide alike.

        Kept once computed, as each decision logs it; a changed catalogue is read anew, never
        made by ``model_copy``.
        """
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def priors(self) -> dict[str, tuple[float, float]]:
        """For each action its prior acceptance, and how many observations that is worth."""
        return {
            name: (action.prior.acceptance, action.prior.weight)
            for name, action in self.actions.items()
        }

    def offered_on(self, channel: str) -> Iterable[str]:
        """Actions that have a treatment for the channel, in the order of the file."""
        return (name for name, action in self.actions.items() if channel in action.treatments)


def load_catalog(path: Path, domain: Domain) -> Catalog:
    """Read and check an action catalogue.

    Raises
    ------
    InvalidDomain
        If it breaks a rule or names a channel the domain does not have.
    """
    catalog = load_yaml(path, Catalog)
    for name, action in catalog.actions.items():
        for channel in action.treatments:
            if channel not in domain.channels:
                raise InvalidDomain(
                    f"{path}: actions.{name}.treatments has channel {channel!r}.",
                    expected=f"one of {', '.join(domain.channels)}",
                    remedy="Correct it, or add the channel to the domain file.",
                )
    return catalog
