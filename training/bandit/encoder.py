"""A customer and a channel as the vector that the reward model is linear in.

Straight features alone miss what two of them mean together, trees alone learn nothing between two
refits. Waves are in between: cosines of random combinations of the features, in which a linear
model can write any smooth function, and which can be counted in sums like any other feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from training.arrays import Floats, Indices

CLIP = 3.0  # standard deviations: one odd customer must not move a linear model
CHANNEL = "channel="  # begins the name of a channel's 0/1; no feature is called so
PITCH = 0.6  # how fast waves turn: radians, for a customer who is typically far from average
STRAIGHT = 0.5  # of the width, at most, for features as they are; the rest is for waves
HIGH = np.sqrt(2)  # of a wave, so that it is 1 in the mean square, like a feature
FLAT = 1e-9  # below this a wave's argument has not left 0, and its slope stands in for its change


@dataclass(frozen=True)
class Encoder:
    """Turns rows of features and channels into vectors.

    The vector is: 1, the standardised features (what is unknown counts as average) or their
    principal axes, one 0/1 for each channel, and the waves::

        wave[j] = sqrt(2) cos(frequency[j] . inputs + phase[j])

    where the inputs are all but the 1.

    Attributes
    ----------
    features : tuple of str
        Which features, by their names in `ModelInput.names`, in that order.
    center, scale : shape (n_features,)
        Mean and standard deviation of each on the training moments.
    axes : shape (n_axes, n_features) or (0, 0)
        Principal axes that stand for many features; (0, 0): the features stand for themselves.
    frequencies : shape (n_waves, n_inputs)
    phases : shape (n_waves,)

    References
    ----------
    Rahimi & Recht (2007), "Random Features for Large-Scale Kernel Machines", Algorithm 1;
    orthogonal directions after Yu et al. (2016), "Orthogonal Random Features", section 3.
    """

    features: tuple[str, ...]
    channels: tuple[str, ...]
    center: Floats
    scale: Floats
    axes: Floats = field(default_factory=lambda: np.empty((0, 0)))
    frequencies: Floats = field(default_factory=lambda: np.empty((0, 0)))
    phases: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def fit(
        cls,
        x: Floats,
        features: Sequence[str],
        channels: Sequence[str],
        width: int | None = None,
        seed: int = 0,
    ) -> Encoder:
        """Learn center, scale and axes from rows ``x`` of shape (n, n_features).

        Only the features that vary there are kept: an action costs width squared memory, and
        what is the same for everybody tells nobody apart. What begins to vary later counts from
        the next training on.

        Parameters
        ----------
        width
            Of the vectors: where the features leave room, waves fill it; if they take more than
            half of it, principal axes stand for them. None: as many as there are features, and
            no waves.
        seed
            Of the waves.
        """
        kept, center, scale = _standard(x)
        names = tuple(features[int(index)] for index in kept)
        straight = cls(names, tuple(channels), center, scale)
        if width is None or not len(kept):
            return straight
        most = max(1, int(STRAIGHT * (width - 1 - len(channels))))
        axes, spread = np.empty((0, 0)), float(len(kept))
        if len(kept) > most:
            axes, spread = _principal(straight._standardised(x[:, kept]), most)
        inputs = (len(axes) or len(kept)) + len(channels)
        pace = np.full(inputs, PITCH)
        pace[: inputs - len(channels)] /= np.sqrt(max(spread, FLAT))
        rng = np.random.default_rng(seed)
        frequencies = _directions(max(0, width - 1 - inputs), inputs, rng) * pace
        phases = rng.uniform(0, 2 * np.pi, len(frequencies))
        return cls(names, tuple(channels), center, scale, axes, frequencies, phases)

    @classmethod
    def blank(cls, channels: Sequence[str]) -> Encoder:
        """Knows channels only: for a business whose bandit was never trained."""
        return cls((), tuple(channels), np.empty(0), np.empty(0))

    @cached_property
    def inputs(self) -> int:
        """How many numbers the waves are made of."""
        return (len(self.axes) or len(self.features)) + len(self.channels)

    @cached_property
    def width(self) -> int:
        """Length of a vector."""
        return 1 + self.inputs + len(self.phases)

    def encode(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Vectors, shape (n, width), from ``rows`` of shape (n, n_features) and n channels."""
        vectors = np.empty((len(rows), self.width))
        straight, waves = vectors[:, : 1 + self.inputs], vectors[:, 1 + self.inputs :]
        straight[:, 0] = 1.0
        straight[:, 1:] = self._inputs(rows, channels)
        if len(self.phases):
            np.cos(straight @ self._waving, out=waves)
            waves *= HIGH
        return vectors

    @cached_property
    def _waving(self) -> Floats:
        """Phases over frequencies, shape (1 + inputs, n_waves): a vector begins with 1."""
        return np.vstack([self.phases, self._turns().T])

    @property
    def effect_names(self) -> tuple[str, ...]:
        """What effects speak of: the features, then the channels (`CHANNEL` and the name)."""
        return (*self.features, *(CHANNEL + known for known in self.channels))

    def effects(self, weights: Floats, row: Floats, channel: str) -> tuple[Floats, Floats]:
        """What each of `effect_names` adds to ``weights . vector``, and the baseline to which.

        Exact: baseline and effects add up. A straight feature adds its weight times its value; a
        wave's change since the average customer is shared out by how much each input turned it,
        which is the path integral of the gradient from that customer to this one.

        Parameters
        ----------
        weights : shape (n, width)
        row : shape (n_features,)

        Returns
        -------
        baseline : shape (n,)
            Of an average customer on none of the channels.
        effects : shape (n, len(named))

        References
        ----------
        Sundararajan, Taly & Yan (2017), "Axiomatic Attribution for Deep Networks", section 3
        (integrated gradients; for cosines the integral is known).
        """
        inputs = self._inputs(row[None, :], (channel,))[0]
        straight, waved = weights[:, 1 : 1 + self.inputs], weights[:, 1 + self.inputs :]
        baseline = weights[:, 0] + HIGH * waved @ np.cos(self.phases)
        slopes = straight + HIGH * (waved * self._slope(inputs)) @ self._turns()
        known = len(self.features)
        z = self._standardised(row[None, :])[0]
        on_features = slopes[:, : self.inputs - len(self.channels)]
        if len(self.axes):
            on_features = on_features @ self.axes
        on_channels = slopes[:, self.inputs - len(self.channels) :]
        ones = inputs[self.inputs - len(self.channels) :]
        return baseline, np.column_stack([on_features * z[:known], on_channels * ones])

    def _slope(self, inputs: Floats) -> Floats:
        """Mean slope of each wave on the straight way from 0 to the inputs."""
        turned = self._turns() @ inputs
        still = np.abs(turned) < FLAT
        change = np.cos(turned + self.phases) - np.cos(self.phases)
        slope: Floats = np.where(still, -np.sin(self.phases), change / np.where(still, 1, turned))
        return slope

    def _turns(self) -> Floats:
        return self.frequencies.reshape(len(self.phases), self.inputs)

    def _inputs(self, rows: Floats, channels: Sequence[str]) -> Floats:
        z = self._standardised(rows)
        if len(self.axes):
            z = z @ self.axes.T
        if not self.channels:
            return z
        found = np.zeros((len(rows), self.inputs))
        straight = self.inputs - len(self.channels)
        found[:, :straight] = z
        for number, channel in enumerate(channels):
            if channel in self._places:
                found[number, straight + self._places[channel]] = 1.0
        return found

    @cached_property
    def _places(self) -> dict[str, int]:
        return {channel: number for number, channel in enumerate(self.channels)}

    def _standardised(self, rows: Floats) -> Floats:
        z = (rows - self.center) / self.scale
        np.copyto(z, 0.0, where=np.isnan(z))  # what is unknown counts as average
        np.maximum(z, -CLIP, out=z)
        found: Floats = np.minimum(z, CLIP, out=z)
        return found

    @property
    def note(self) -> dict[str, Any]:
        """What `of` reads back, beside `arrays`."""
        return {"features": self.features, "channels": self.channels}

    @property
    def arrays(self) -> dict[str, Floats]:
        """The numbers, by name."""
        names = ("center", "scale", "axes", "frequencies", "phases")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, note: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Encoder:
        """What `note` and `arrays` describe; others may stand among them."""
        return cls(
            tuple(note["features"]),
            tuple(note["channels"]),
            *(arrays[name] for name in ("center", "scale", "axes", "frequencies", "phases")),
        )


def _standard(x: Floats) -> tuple[Indices, Floats, Floats]:
    """Which columns vary, and the mean and standard deviation of those."""
    seen = np.isfinite(x)
    count = np.maximum(seen.sum(axis=0), 1)
    center = np.where(seen, x, 0.0).sum(axis=0) / count
    spread = np.where(seen, x - center, 0.0)
    scale = np.sqrt((spread**2).sum(axis=0) / count)
    kept = np.flatnonzero(scale >= 1e-9 * np.maximum(1.0, np.abs(center)))
    return kept, center[kept], scale[kept]


def _principal(z: Floats, n: int) -> tuple[Floats, float]:
    """The first n principal axes of standardised rows, and the variance that they carry.

    Signs are fixed, so that the same rows give the same axes on any machine.
    """
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    axes = vectors[:, ::-1][:, :n].T
    signs = np.sign(axes[np.arange(n), np.abs(axes).argmax(axis=1)])
    return axes * signs[:, None], float(values[::-1][:n].sum())


def _directions(n: int, inputs: int, rng: np.random.Generator) -> Floats:
    """n directions as long as normal ones, orthogonal in blocks: they waste fewer waves."""
    blocks = []
    for _ in range(0, n, max(inputs, 1)):
        turned, _ = np.linalg.qr(rng.normal(size=(inputs, inputs)))
        length = np.sqrt(rng.chisquare(inputs, inputs))
        blocks.append(turned * length[:, None])
    return np.concatenate([*blocks, np.empty((0, inputs))])[:n]
