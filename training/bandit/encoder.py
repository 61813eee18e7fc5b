"""Encodes a customer and a channel as the vector that the linear experts read.

A model that is linear in the features misses interactions; trees learn nothing between two fits.
Random Fourier features are in between: cosines of random combinations of the features. A model that
is linear in them can approximate any smooth function, and it still learns from sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from training.arrays import (
    Floats,
    Indices,
    ToldRewards,
    chosen_axes,
    orthogonal_directions,
    varying_columns,
)

CLIP = 3.0  # standard deviations: one outlier must not move a linear model
CHANNEL = "channel="  # begins the name of a channel's indicator; no feature's name begins so
# Root mean square of a Fourier feature's argument over customers, in radians, less its phase.
FREQUENCY_SCALE = 0.6
LINEAR_SHARE = 0.5  # of the width, at most, for the features themselves; the rest is Fourier's
AMPLITUDE = np.sqrt(2)  # makes the mean square of a Fourier feature 1, like that of a feature
Product = Callable[[Floats, Floats], Floats]  # of two matrices
ARRAYS = ("center", "scale", "axes", "frequencies", "phases", "offset")
TINY = 1e-9  # an argument below it counts as 0: the slope there replaces the quotient


@dataclass(frozen=True)
class Encoder:
    """Turns rows of features and channels into vectors.

    The vector is: 1, the inputs, the Fourier features, and the products. Inputs are the
    standardised features (an unknown one counts as average) or what they are along `axes`, and one
    indicator (0 or 1) for each channel. The Fourier features are::

        fourier[j] = sqrt(2) cos(frequencies[j] . inputs + phases[j])

    The products are those of two standardised features or indicators each. Fourier features of
    many inputs miss a product of two; a pair of which is known that it matters is so read at once.

    The offset is subtracted, so that all but the first element have the mean 0 over the customers.
    The weight of the first one is then the mean reward, to which the prior of an action belongs.

    Attributes
    ----------
    features : tuple of str
        Names of the features in `ModelInput.names`, in their order.
    center, scale : shape (n_features,)
        Mean and standard deviation of each on the training rows.
    axes : shape (n_axes, n_features) or (0, 0)
        Axes that replace the features where these are many; (0, 0): they do not.
    frequencies : shape (n_fourier, n_inputs)
    phases : shape (n_fourier,)
    offset : shape (width,) or (0,)
        Means of the elements, 0 for the first one; (0,): nothing is subtracted.
    pairs : tuple of pairs of int
        The factors of each product, as indexes into `effect_names`.

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
    offset: Floats = field(default_factory=lambda: np.empty(0))
    pairs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def fit(
        cls,
        x: Floats,
        features: Sequence[str],
        channels: Sequence[str],
        width: int | None = None,
        seed: int = 0,
        on: Sequence[str] | None = None,
        pairs: Sequence[tuple[str, str]] = (),
        told: Callable[[], ToldRewards] | None = None,
    ) -> Encoder:
        """Learn center, scale and axes from rows ``x`` of shape (n, n_features).

        Only features that vary there are kept: the memory of an action is width squared, and a
        constant feature tells no customers apart. A feature that begins to vary later is read from
        the next training on.

        Parameters
        ----------
        width
            Length of the vectors. Features that need more than half of it are replaced by what
            they are along `chosen_axes`; Fourier features fill the rest. None: the inputs are all
            features and channels, and there are no Fourier features.
        seed
            Of the random frequencies and phases.
        on
            The channel of each row; None: unknown, so none of the channels.
        pairs
            The factors of products, names in `effect_names`; they replace as many Fourier features.
        told
            Returns the rewards on the rows; called only where axes replace the features.
        """
        kept, center, scale = varying_columns(x)
        linear = cls(tuple(features[int(one)] for one in kept), tuple(channels), center, scale)
        if width is None or not len(kept):
            return linear._centred(x[:, kept], on)
        most = max(1, int(LINEAR_SHARE * (width - 1 - len(channels))))
        axes, total_variance = np.empty((0, 0)), float(len(kept))
        if len(kept) > most:
            z = linear._standardised(x[:, kept])
            axes, total_variance = chosen_axes(z, most, told and told())
        inputs = (len(axes) or len(kept)) + len(channels)
        pace = np.full(inputs, FREQUENCY_SCALE)
        pace[: inputs - len(channels)] /= np.sqrt(max(total_variance, TINY))
        place = {name: number for number, name in enumerate(linear.effect_names)}
        products = tuple((place[a], place[b]) for a, b in pairs if {a, b} <= place.keys())
        n_fourier = max(0, width - 1 - inputs - len(products))
        rng = np.random.default_rng(seed)
        frequencies = orthogonal_directions(n_fourier, inputs, rng) * pace
        phases = rng.uniform(0, 2 * np.pi, len(frequencies))
        linear = replace(linear, axes=axes, frequencies=frequencies, phases=phases, pairs=products)
        return linear._centred(x[:, kept], on)

    @classmethod
    def blank(cls) -> Encoder:
        """Return an encoder of vectors (1,), which tells no customers apart."""
        return cls((), (), np.empty(0), np.empty(0))

    def _centred(self, rows: Floats, on: Sequence[str] | None) -> Encoder:
        """Return the encoder whose vectors have the mean 0 on rows, but for the first element."""
        offset = self.encode(rows, on if on is not None else ("",) * len(rows)).mean(axis=0)
        offset[0] = 0.0
        return replace(self, offset=offset)

    @cached_property
    def inputs(self) -> int:
        """Number of inputs of the Fourier features."""
        return (len(self.axes) or len(self.features)) + len(self.channels)

    @cached_property
    def width(self) -> int:
        """Length of a vector."""
        return 1 + self.inputs + len(self.phases) + len(self.pairs)

    def encode(self, rows: Floats, channels: Sequence[str], product: Product = np.matmul) -> Floats:
        """Encode ``rows`` of shape (n, n_features) and n channels; shape (n, width)."""
        vectors = np.empty((len(rows), self.width))
        begin, end = self._fourier
        linear, fourier = vectors[:, :begin], vectors[:, begin:end]
        values = self._values(rows, channels)
        linear[:, 0] = 1.0
        linear[:, 1:] = self._inputs(values, product)
        if len(self.phases):
            np.cos(product(linear, self._arguments), out=fourier)
            fourier *= AMPLITUDE
        if self.pairs:
            first, second = self._factors
            np.multiply(values[:, first], values[:, second], out=vectors[:, end:])
        if len(self.offset):
            vectors -= self.offset
        return vectors

    @cached_property
    def _fourier(self) -> tuple[int, int]:
        """Bounds of the Fourier features in a vector; the products follow them."""
        return 1 + self.inputs, self.width - len(self.pairs)

    @cached_property
    def _factors(self) -> Indices:
        """Indexes of the first factors and of the second ones, shape (2, n_products)."""
        return np.array(self.pairs, dtype=np.intp).reshape(-1, 2).T

    @cached_property
    def _arguments(self) -> Floats:
        """Phases over frequencies, shape (1 + n_inputs, n_fourier): a vector begins with 1."""
        return np.vstack([self.phases, self._frequency_matrix().T])

    @property
    def effect_names(self) -> tuple[str, ...]:
        """Names of `effects`: the features, then the channels (`CHANNEL` and the name)."""
        return (*self.features, *(CHANNEL + known for known in self.channels))

    def effects(self, weights: Floats, row: Floats, channel: str) -> tuple[Floats, Floats]:
        """Split ``weights . vector`` into a baseline and what each of `effect_names` adds to it.

        Baseline and effects add up exactly. An input adds its weight times its value. The change
        of a Fourier feature from the average customer to this one is divided among the inputs by
        integrated gradients: each gets the integral of its partial derivative on the straight path.
        So each factor of a product gets half of it.

        Parameters
        ----------
        weights : shape (n, width)
        row : shape (n_features,)

        Returns
        -------
        baseline : shape (n,)
            For an average customer on none of the channels.
        effects : shape (n, len(effect_names))

        References
        ----------
        Sundararajan, Taly & Yan (2017), "Axiomatic Attribution for Deep Networks", section 3
        (integrated gradients; for cosines the integral is known).
        """
        values = self._values(row[None, :], (channel,))
        inputs, values = self._inputs(values)[0], values[0]
        _, linear, fourier, products = np.split(weights, (1, *self._fourier), axis=1)
        baseline = weights[:, 0] + AMPLITUDE * fourier @ np.cos(self.phases)
        if len(self.offset):
            baseline = baseline - weights @ self.offset
        slopes = linear + AMPLITUDE * (fourier * self._slope(inputs)) @ self._frequency_matrix()
        n_channels = len(self.channels)
        on_features, on_channels = np.split(slopes, [self.inputs - n_channels], axis=1)
        if len(self.axes):
            on_features = on_features @ self.axes
        effects = np.column_stack([on_features, on_channels]) * values
        for number, (first, second) in enumerate(self.pairs):
            half = products[:, number] * (values[first] * values[second] / 2)
            effects[:, first] += half
            effects[:, second] += half
        return baseline, effects

    def _slope(self, inputs: Floats) -> Floats:
        """Mean derivative of each cosine on the straight path from 0 to the inputs."""
        argument = self._frequency_matrix() @ inputs
        at_0 = np.abs(argument) < TINY
        change = np.cos(argument + self.phases) - np.cos(self.phases)
        slope: Floats = np.where(at_0, -np.sin(self.phases), change / np.where(at_0, 1, argument))
        return slope

    def _frequency_matrix(self) -> Floats:
        """The frequencies, of shape (0, n_inputs) too where there are none."""
        return self.frequencies.reshape(len(self.phases), self.inputs)

    def _inputs(self, values: Floats, product: Product = np.matmul) -> Floats:
        """Compute the inputs of the Fourier features from the values of `effect_names`."""
        if not len(self.axes):
            return values
        n = len(self.features)
        return np.column_stack([product(values[:, :n], self.axes.T), values[:, n:]])

    def _values(self, rows: Floats, channels: Sequence[str]) -> Floats:
        """Values of `effect_names`: standardised features, and indicators of channels."""
        z = self._standardised(rows)
        if not self.channels:
            return z
        found = np.zeros((len(rows), len(self.features) + len(self.channels)))
        found[:, : len(self.features)] = z
        for number, channel in enumerate(channels):
            if channel in self._places:
                found[number, len(self.features) + self._places[channel]] = 1.0
        return found

    @cached_property
    def _places(self) -> dict[str, int]:
        return {channel: number for number, channel in enumerate(self.channels)}

    def _standardised(self, rows: Floats) -> Floats:
        z = (rows - self.center) / self.scale
        np.copyto(z, 0.0, where=np.isnan(z))  # an unknown feature counts as average
        np.maximum(z, -CLIP, out=z)
        found: Floats = np.minimum(z, CLIP, out=z)
        return found

    @property
    def note(self) -> dict[str, Any]:
        """The names, for JSON; `of` reads them and `arrays`."""
        return {"features": self.features, "channels": self.channels, "pairs": self.pairs}

    @property
    def arrays(self) -> dict[str, Floats]:
        """The numbers, by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def of(cls, note: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Encoder:
        """Return the encoder of a `note` and `arrays`; further keys are ignored."""
        found = {"offset": np.empty(0), **arrays}  # there was none in former versions
        return cls(
            tuple(note["features"]),
            tuple(note["channels"]),
            **{name: found[name] for name in ARRAYS},
            pairs=tuple((first, second) for first, second in note.get("pairs", ())),
        )
