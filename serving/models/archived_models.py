"""The models of a past decision; the numbers of the bandit are read only if they are asked for.

What was believed is kept with the decision, so most decisions are repeated without them. Snapshots
are thinned as they grow older: where that of the decision is gone, another one stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import NamedTuple

import sqlalchemy as sa

from features.ledger import tables
from serving.models.served_models import EFFECTS, ServedModels
from training.arrays import Floats
from training.bandit.stacking import Prediction
from training.contributions import Contributions
from training.effects.effect_model import EffectModel
from training.effects.effect_prediction import EffectPrediction


class StandIn(NamedTuple):
    """The model that is used instead of the one that decided.

    Attributes
    ----------
    named : str
        Names it for people, such as "snapshot 12 of the bandit, the newest kept up to 17".
    explains : bool
        False if it has learned nothing, so it can tell no effect of a feature.
    """

    named: str
    explains: bool


class FoundModels(NamedTuple):
    """Models with the numbers of the bandit; ``stand_in`` is None for those that decided."""

    models: ServedModels
    stand_in: StandIn | None


def effects_numbered(connection: sa.Connection, number: int) -> EffectModel | None:
    """Read an effect model by its number; None if it is not kept."""
    columns = tables.effect_models.c
    query = sa.select(columns.payload).where(columns.number == number)
    payload = connection.execute(query).scalar()
    return None if payload is None else EffectModel.from_bytes(bytes(payload))


def _nothing() -> FoundModels:
    raise NotImplementedError("an archive says how its models are read")


@dataclass(frozen=True)
class ArchivedModels(ServedModels):
    """Models of which the bandit's numbers are read when they are first asked for.

    Attributes
    ----------
    read : callable
        Reads the models with the numbers of the bandit; called once.
    """

    read: Callable[[], FoundModels] = field(default=_nothing, kw_only=True, compare=False)

    @classmethod
    def around(cls, models: ServedModels, read: Callable[[], FoundModels]) -> ArchivedModels:
        """Return models without the numbers of the bandit, which ``read`` gives when needed."""
        kept = {one.name: getattr(models, one.name) for one in fields(models)}
        return cls(**kept, read=read)

    @property
    def lacks_effects(self) -> bool:
        """True if the decision had an effect model that is not kept any more."""
        return self.versions.get(EFFECTS) is not None and self._found.models.effects is None

    @property
    def stand_in(self) -> StandIn | None:
        """The model that is used instead of the one that decided; None if that one is kept."""
        return self._found.stand_in

    @property
    def counted(self) -> Floats:
        """The outcomes of each action, as of `ServedModels.counted`."""
        return self._found.models.counted

    @property
    def effects_counted(self) -> float:
        """The decisions of the effects; 0 if the effect model is not kept."""
        return self._found.models.effects_counted

    def predict(self, row: Floats, channel: str) -> Prediction:
        """Predict as `ServedModels.predict` does."""
        return self._found.models.predict(row, channel)

    def predict_effects(self, row: Floats, channel: str) -> EffectPrediction | None:
        """Predict as `ServedModels.predict_effects` does; None if the effect model is not kept."""
        return self._found.models.predict_effects(row, channel)

    def why_acceptance(
        self, row: Floats, channel: str, actions: Sequence[str]
    ) -> Contributions | None:
        """Explain as `ServedModels.why_acceptance` does; None if no model is left that can."""
        if self.stand_in is not None and not self.stand_in.explains:
            return None
        return self._found.models.why_acceptance(row, channel, actions)

    @cached_property
    def _found(self) -> FoundModels:
        return self.read()
