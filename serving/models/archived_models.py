"""The models of a past decision; the numbers of the bandit are read only if they are asked for.

What was believed is kept with the decision, so most decisions are repeated without them. Snapshots
are thinned as they grow older: where that of the decision is gone, another one stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import NamedTuple

from serving.models.served_models import ServedModels
from training.arrays import Floats
from training.bandit.stacking import Prediction
from training.contributions import Contributions


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
    def stand_in(self) -> StandIn | None:
        """The model that is used instead of the one that decided; None if that one is kept."""
        return self._found.stand_in

    def predict(self, row: Floats, channel: str) -> Prediction:
        """Predict as `ServedModels.predict` does."""
        return self._found.models.predict(row, channel)

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
