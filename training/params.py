"""Reads params.yaml: how the models are trained, and when they are good enough."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from features.business.yaml_file import load_yaml

PARAMS = Path(__file__).with_name("params.yaml")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gate(_Frozen):
    """Bounds that a metric must keep for a model to be promoted."""

    min: float | None = None
    max: float | None = None

    def broken_by(self, value: float) -> str | None:
        """What is wrong with a value, or None."""
        if self.min is not None and not value >= self.min:
            return f"{value:.4f} is below {self.min:g}"
        if self.max is not None and not value <= self.max:
            return f"{value:.4f} is above {self.max:g}"
        return None


class LightGbmParams(BaseModel):
    """``rounds``, and whatever else LightGBM takes."""

    model_config = ConfigDict(frozen=True, extra="allow")

    rounds: Annotated[int, Field(ge=1, le=100_000)]


class ClassifierParams(_Frozen):
    """Of churn or intent."""

    service: str
    lightgbm: LightGbmParams
    gates: dict[str, Gate] = {}


class HeadParams(_Frozen):
    """Of one linear expert; params.yaml says what each means."""

    ridge: Positive
    caution: Annotated[float, Field(ge=0, le=10)]
    debt: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    memory: Annotated[float, Field(ge=10, allow_inf_nan=False)] | None = None


class TreesParams(_Frozen):
    """Of the trees, the last expert."""

    at_least: Annotated[int, Field(ge=1)]
    growth: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    newest: Annotated[int, Field(ge=1)]
    debt: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BanditParams(_Frozen):
    """Of the bandit; params.yaml says what each means."""

    service: str
    width: Annotated[int, Field(ge=2, le=1000)]
    heads: Annotated[tuple[HeadParams, ...], Field(min_length=1, max_length=4)]
    trees: TreesParams
    least: Annotated[float, Field(ge=0, le=0.1)]
    warm_start_weight: Annotated[float, Field(ge=0, le=1)]
    gates: dict[str, Gate] = {}


class TrainingParams(_Frozen):
    """The whole file."""

    seed: int
    churn: ClassifierParams
    intent: ClassifierParams
    bandit: BanditParams


def load_params(path: Path = PARAMS) -> TrainingParams:
    """Read the file.

    Raises
    ------
    InvalidDomain
        If it breaks a rule; names file, line, key and remedy.
    """
    return load_yaml(path, TrainingParams)
