"""Sums over the outcomes of each action: in any order, and any outcome can be retracted.

A running average forgets by multiplying its value, so the order of outcomes matters and none can be
retracted. Here each outcome is weighted by its own time instead (`Decay`)::

    weight = 2 ** ((its time - epoch) / half_life)

As of a time ``now``, all weights shrink by the same factor, 2 ** ((epoch - now) / half_life). The
epoch is moved on by whole half-lives before weights grow too large; halving is exact in binary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsymm, dsyr

from features.errors import InvalidSetting
from training.arrays import Floats, Ints, pack, places_of, unpack

MAX_HALF_LIVES = 30.0  # between epoch and newest outcome; a weight is 1e9 then
FEW = 4  # outcomes of an action in a batch, that are added one by one
ROOM = 4  # actions for which memory is taken at first; doubled when there are more


@dataclass(frozen=True, slots=True)
class Decay:
    """Weights of outcomes by their time.

    Parameters
    ----------
    half_life : float or None
        An outcome that is so much older counts half; in the unit of the times. None: no decay.
    epoch : float
        The time at which an outcome has weight 1.
    """

    half_life: float | None = None
    epoch: float = 0.0

    def __post_init__(self) -> None:
        if self.half_life is not None and not 0 < self.half_life < np.inf:
            raise InvalidSetting(
                f"half_life is {self.half_life!r}.",
                expected="a finite number > 0, or none",
                remedy="Leave it out if nothing changes; 90 days suit tastes that change slowly.",
            )

    def weights(self, at: Floats | float) -> Floats:
        """Weights in the sums, of outcomes of these times."""
        if self.half_life is None:
            return np.ones(np.shape(at))
        weights: Floats = np.exp2((np.asarray(at, dtype=np.float64) - self.epoch) / self.half_life)
        return weights

    def shrink(self, now: float) -> float:
        """Factor on the sums, as of ``now``."""
        half_life = self.half_life
        return 1.0 if half_life is None else float(np.exp2((self.epoch - now) / half_life))

    def moved(self, newest: float) -> tuple[Decay, float]:
        """Move the epoch on for outcomes as new as ``newest``.

        Returns
        -------
        The decay with the new epoch, and the factor by which the sums so far must be multiplied.
        """
        if self.half_life is None:
            return self, 1.0
        steps = np.floor((newest - self.epoch) / self.half_life)
        if steps <= MAX_HALF_LIVES:
            return self, 1.0
        return Decay(self.half_life, self.epoch + steps * self.half_life), float(np.exp2(-steps))


class ActionStatistics:
    """Sums over outcomes, for each action: all that Bayesian ridge regression needs.

    With vectors v, rewards y and counts c, each outcome weighted by its time (`Decay`)::

        A = sum of c v v'      b = sum of c y v      s = sum of c y^2

    The first element of each v is 1. So A[0, 0] is the sum of c, and b[0] the sum of c y. A prior
    is not part of the sums, so it can be edited in the catalogue at any time.

    Parameters
    ----------
    width : int
        Length of a vector.
    decay : Decay
        Weights of outcomes by their time.

    Attributes
    ----------
    actions : list of str
        The actions with outcomes.
    """

    def __init__(self, width: int, decay: Decay | None = None) -> None:
        self.width = width
        self.decay = decay or Decay()
        self.actions: list[str] = []
        self._rows: dict[str, int] = {}
        # One triangle of each A is kept, the lower one: adding an outcome takes half the time.
        self._second = np.zeros((ROOM, width, width))
        self._first = np.zeros((ROOM, width))
        self._square = np.zeros(ROOM)
        self._changes = np.zeros(ROOM, dtype=np.int64)
        self._retractions = np.zeros(ROOM, dtype=np.int64)
        # Precision along axes (`turn_to`): whole along the first ones, and the diagonal of all.
        self._basis = np.zeros((width, 0))
        self._inner = np.zeros((ROOM, 0, 0))
        self._along = np.zeros((ROOM, 0))

    def copied(self) -> ActionStatistics:
        """Copy the sums, so that the copy can learn without changing these."""
        other = ActionStatistics(self.width, self.decay)
        other.actions, other._rows, other._basis = [*self.actions], {**self._rows}, self._basis
        for name in (*self._sums, "_changes", "_retractions"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def learn(
        self, vectors: Floats, actions: Sequence[str], rewards: Floats, count: Floats, at: Floats
    ) -> None:
        """Add outcomes.

        Parameters
        ----------
        vectors : shape (n, width)
        actions : n texts
        rewards : shape (n,)
        count : shape (n,)
            Weight of each outcome; a negative one retracts an equal outcome.
        at : shape (n,), in the unit of the half-life
            Time of each decision.
        """
        if not len(actions):
            return
        if self.decay.half_life is not None:
            count = count * self._decayed(at)
        along = vectors @ self._basis
        for action, mine in places_of(actions).items():
            row = self._row(action)
            if len(mine) <= FEW:  # one by one less memory is read and written
                for i in mine:
                    self._learn_one(row, vectors[i], along[i], float(rewards[i]), float(count[i]))
                continue
            v, c, y = vectors[mine], count[mine], rewards[mine]
            weighted = v * c[:, None]
            self._second[row] += weighted.T @ v
            self._first[row] += y @ weighted
            self._square[row] += float(c @ y**2)
            self._changes[row] += len(y)
            self._retractions[row] += (c < 0).sum()
            self._along[row] += c @ np.square(along[mine])
            inner = along[mine, : self._inner.shape[-1]]
            self._inner[row] += (inner * c[:, None]).T @ inner

    def _learn_one(
        self, row: int, vector: Floats, along: Floats, reward: float, count: float
    ) -> None:
        # BLAS stores matrices by column: its upper triangle is the lower one here.
        dsyr(count, vector, a=self._second[row].T, overwrite_a=1)
        self._first[row] += (count * reward) * vector
        self._square[row] += count * reward**2
        self._changes[row] += 1
        self._retractions[row] += count < 0
        self._along[row] += count * np.square(along)
        inner = along[: self._inner.shape[-1]]
        self._inner[row] += (count * inner)[:, None] * inner

    @property
    def _sums(self) -> tuple[str, ...]:
        return "_second", "_first", "_square", "_inner", "_along"

    def _row(self, action: str) -> int:
        """Row of an action's sums; a new action gets one with zeros."""
        row = self._rows.get(action)
        if row is None:
            row = self._rows[action] = len(self.actions)
            self.actions.append(action)
            if row == len(self._first):
                for name in (*self._sums, "_changes", "_retractions"):
                    array = getattr(self, name)
                    setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        return row

    def knows(self, action: str) -> bool:
        """True if an action has outcomes."""
        return action in self._rows

    def second(self, action: str) -> Floats:
        """A of an action with outcomes; only the lower triangle and the first column are valid."""
        found: Floats = self._second[self._rows[action]]
        return found

    def first(self, action: str) -> Floats:
        """b of an action with outcomes."""
        found: Floats = self._first[self._rows[action]]
        return found

    def centred(self, action: str, level: float) -> tuple[Floats, Floats, float]:
        """A, b and s of an action with outcomes, of its rewards less ``level``."""
        second, first = self.second(action), self.first(action)
        less: Floats = first - level * second[:, 0]
        return second, less, float(self._square[self._rows[action]] - level * (first[0] + less[0]))

    def precision(self, action: str) -> tuple[Floats, Floats]:
        """Precision that an action's outcomes add along the first axes, and the diagonal of all."""
        row = self._rows[action]
        return self._inner[row], self._along[row]

    def changes(self, actions: Sequence[str], retracted: bool = False) -> Ints:
        """Count the changes of the sums of some actions so far, or the retractions among them."""
        rows = [self._rows.get(action, -1) for action in actions]
        found: Ints = np.append(self._retractions if retracted else self._changes, 0)[rows]
        return found

    def counted(self, action: str) -> float:
        """Sum of the weights of an action's outcomes."""
        return float(self.second(action)[0, 0]) if action in self._rows else 0.0

    def rate(self, action: str) -> float:
        """Mean reward of an action so far; ``nan`` if there were no outcomes."""
        count = self.counted(action)
        return float(self.first(action)[0]) / count if count else np.nan

    @property
    def pooled(self) -> tuple[float, float, float]:
        """Sums over all actions of weight, weight x reward, and weight x reward^2."""
        count, total = self._second[:, 0, 0].sum(), self._first[:, 0].sum()
        return float(count), float(total), float(self._square.sum())

    def principal_axes(self) -> Floats:
        """Principal axes of all vectors, in columns, those with the most variance first."""
        if not self.actions:
            return np.eye(self.width)
        _, basis = np.linalg.eigh(self._second.sum(axis=0))  # reads the lower triangle
        return np.ascontiguousarray(basis[:, ::-1])

    def turn_to(self, basis: Floats, n_inner: int) -> None:
        """Add up the precision along other axes from now on.

        Parameters
        ----------
        basis : shape (width, width)
            Orthonormal; its columns are the axes.
        n_inner : int
            So many of the first axes get a whole precision matrix.
        """
        self._basis, n = basis, len(self._first)
        self._along = np.zeros((n, basis.shape[1]))
        self._inner = np.zeros((n, n_inner, n_inner))
        for row in range(len(self.actions)):  # one by one: all at once take much memory
            # BLAS stores matrices by column: its upper triangle is the lower one here.
            turned = dsymm(1.0, self._second[row].T, basis)
            self._along[row] = np.einsum("ij,ij->j", basis, turned)
            self._inner[row] = basis[:, :n_inner].T @ turned[:, :n_inner]

    def _decayed(self, at: Floats) -> Floats:
        """Weights of outcomes by their time; moves the epoch on before weights grow too large."""
        self.decay, scale = self.decay.moved(float(np.max(at)))
        if scale != 1.0:
            for name in self._sums:
                setattr(self, name, getattr(self, name) * scale)
        return self.decay.weights(at)

    def to_bytes(self) -> bytes:
        """Serialise the sums without pickles; inverse of `from_bytes`."""
        n, lower = len(self.actions), np.tril_indices(self.width)
        note = {
            "actions": self.actions,
            "half_life": self.decay.half_life,
            "epoch": self.decay.epoch,
        }
        return pack(
            note,
            triangles=self._second[:n, *lower],
            first=self._first[:n],
            square=self._square[:n],
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> ActionStatistics:
        """Read what `to_bytes` wrote, also before only one triangle of each A was written."""
        note, arrays = unpack(payload)
        first, n = arrays["first"], len(note["actions"])
        found = cls(first.shape[1], Decay(note["half_life"], note["epoch"]))
        for action in note["actions"]:
            found._row(action)
        if "triangles" in arrays:
            lower = np.tril_indices(found.width)
            found._second[:n, *lower] = arrays["triangles"]
        else:
            found._second[:n] = arrays["second"]
        found._first[:n], found._square[:n] = first, arrays["square"]
        return found
