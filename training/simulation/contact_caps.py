"""Records the actions shown to each customer on each day, and applies a business's caps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.arrays import Bools, Ints
from training.simulation.business import SimulatedCap


class ShownActions:
    """The action shown to each customer on each day.

    Parameters
    ----------
    names, channels
        Names of the actions, `no_action` first, and of the channels.

    Attributes
    ----------
    shown, shown_on : shape (n_customers, n_days)
        Index of the action, 0 where none was shown, and of the channel, -1 where none was shown.
    """

    def __init__(
        self,
        customers: int,
        days: int,
        caps: Sequence[SimulatedCap],
        names: Sequence[str],
        channels: Sequence[str],
    ) -> None:
        self._caps = [(cap, counted(cap, names), on_channels(cap, channels)) for cap in caps]
        self._k = len(names)
        self.shown = np.zeros((customers, days), dtype=np.int8)
        self.shown_on = np.full((customers, days), -1, dtype=np.int8)

    def allowed(self, customer: Ints, channel: Ints, day: int) -> Bools:
        """True for the actions that the caps allow today on a channel, shape (n, K)."""
        free = np.ones((len(customer), self._k), dtype=np.bool_)
        for cap, actions, channels in self._caps:
            recent = slice(max(0, day - cap.days + 1), day + 1)
            holds = (
                actions[self.shown[customer, recent]] & channels[self.shown_on[customer, recent]]
            )
            full = (holds.sum(axis=1) >= cap.at_most) & channels[channel]
            free[np.ix_(full, actions)] = False
        return free

    def count(self, customer: Ints, channel: Ints, day: int, actions: Ints) -> None:
        """Record that these actions were shown today."""
        self.shown[customer, day] = actions
        self.shown_on[customer, day] = np.where(actions > 0, channel, -1)


def counted(cap: SimulatedCap, names: Sequence[str]) -> Bools:
    """True for the actions that a cap counts, shape (K,)."""
    return np.array([name in cap.actions for name in names])


def on_channels(cap: SimulatedCap, channels: Sequence[str]) -> Bools:
    """True for the channels that a cap counts, shape (n_channels + 1,); the last is "none"."""
    return np.array([*(not cap.channels or name in cap.channels for name in channels), False])


def cap_violations(
    shown: NDArray[np.int8],
    shown_on: NDArray[np.int8],
    caps: Sequence[SimulatedCap],
    names: Sequence[str],
    channels: Sequence[str],
) -> int:
    """Count the windows that hold more showings than a cap allows.

    Counted from the shown actions alone, without `ShownActions.allowed`.

    Parameters
    ----------
    shown, shown_on : shape (n_customers, n_days)
    """
    found = 0
    for cap in caps:
        holds = np.isin(shown, np.flatnonzero(counted(cap, names)))
        holds &= on_channels(cap, channels)[shown_on]
        sums = np.cumsum(holds, axis=1, dtype=np.int64)
        before = np.zeros_like(sums)
        before[:, cap.days :] = sums[:, : -cap.days]
        found += int((sums - before > cap.at_most).sum())
    return found
