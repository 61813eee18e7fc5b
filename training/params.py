"""Reads params.yaml: settings of the training, and bounds that a model must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.business.yaml_file import load_yaml

PARAMS = Path(__file__).with_name("params.yaml")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    former_names: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, content: Any) -> Any:
        """Accept former names: params.yaml files and bandit.json of registered models have them.

        A former name beside the present one is left as it is, and is then refused as unknown.
        """
        if not isinstance(content, dict):
            return content
        former = {old: new for old, new in cls.former_names.items() if new not in content}
        return {former.get(name, name): value for name, value in content.items()}


class Gate(_Frozen):
    """Bounds that a metric must keep for a model to be promoted."""

    min: float | None = None
    max: float | None = None

    def broken_by(self, value: float) -> str | None:
        """Say which bound a value breaks; None if it keeps both."""
        if self.min is not None and not value >= self.min:
            return f"{value:.4f} is below {self.min:g}"
        if self.max is not None and not value <= self.max:
            return f"{value:.4f} is above {self.max:g}"
        return None


class LightGbmParams(BaseModel):
    """The number of ``rounds``, and any other parameter of LightGBM."""

    model_config = ConfigDict(frozen=True, extra="allow")

    rounds: Annotated[int, Field(ge=1, le=100_000)]


class ClassifierParams(_Frozen):
    """Settings of the churn model or of the intent model."""

    service: str
    lightgbm: LightGbmParams
    gates: dict[str, Gate] = {}


class LinearExpertParams(_Frozen):
    """Settings of one linear expert of the bandit; params.yaml describes each."""

    former_names = {
        "caution": "exploration_scale",
        "debt": "handicap",
        "memory": "half_life_decisions",
    }

    ridge: Positive
    exploration_scale: Annotated[float, Field(ge=0, le=10)]
    handicap: AtLeastZero = 0.0
    half_life_decisions: Annotated[float, Field(ge=10, allow_inf_nan=False)] | None = None


class BoostedTreesParams(_Frozen):
    """Settings of the bandit's boosted trees, its last expert; params.yaml describes each."""

    former_names = {"debt": "handicap"}

    at_least: Annotated[int, Field(ge=1)]
    growth: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    newest: Annotated[int, Field(ge=1)]
    handicap: AtLeastZero


class BanditParams(_Frozen):
    """Settings of the bandit; params.yaml describes each."""

    former_names = {"heads": "linear_experts", "least": "min_probability"}

    service: str
    width: Annotated[int, Field(ge=2, le=1000)]
    linear_experts: Annotated[tuple[LinearExpertParams, ...], Field(min_length=1, max_length=4)]
    trees: BoostedTreesParams
    min_probability: Annotated[float, Field(ge=0, le=0.1)]
    warm_start_weight: Annotated[float, Field(ge=0, le=1)]
    gates: dict[str, Gate] = {}


class EffectParams(_Frozen):
    """Settings of the effect model; params.yaml describes each."""

    look_days: Positive = 3.0
    at_least: Annotated[int, Field(ge=1)] = 500
    least_left: Annotated[int, Field(ge=1)] = 10
    growth: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.15
    newest: Annotated[int, Field(ge=1)] = 300_000
    sample: Annotated[int, Field(ge=100)] = 20_000
    leaving_ridge: Positive = 1000.0
    leaving_prior: Positive = 500.0
    purchases_prior: Positive = 40000.0
    leaving_by_chance: Positive = 12.0
    purchases_by_chance: Positive = 3.0
    directions: Annotated[int, Field(ge=0, le=100)] = 16
    exploration_scale: Annotated[float, Field(ge=0, le=10)] = 1.0
    duration_days: Positive = 45.0
    duration_sd: Positive = 5.0
    correction_sd: Positive = 0.01


class TrainingParams(_Frozen):
    """Settings of all models: the whole file."""

    seed: int
    churn: ClassifierParams
    intent: ClassifierParams
    bandit: BanditParams
    effects: EffectParams = EffectParams()


def load_params(path: Path = PARAMS) -> TrainingParams:
    """Read the file.

    Raises
    ------
    InvalidDomain
        If it breaks a rule; names file, line, key and remedy.
    """
    return load_yaml(path, TrainingParams)
