"""Volumes and budgets of the day, as the decision meets them: shadow prices and what is spent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.playbook import Playbook
from serving.contact_policy import Reason
from training.bandit import Floats


class Pacer:
    def __init__(self, playbook: Playbook) -> None:
        self.names: tuple[str, ...] = ()
        self._n = len(playbook.actions)

    def open(self, states: Mapping[str, Any], now: datetime) -> Spending:
        return Spending(self._n)


class Spending:
    def __init__(self, n: int) -> None:
        self.prices: Floats = np.zeros(n)
        self.out: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self.changed: dict[str, Any] = {}

    def spend(self, action: int) -> None: ...
    def rule(self, action: int) -> str:
        raise NotImplementedError

    def why(self, action: int) -> Reason:
        raise NotImplementedError
