"""Fits the effect model to labelled decisions, in four passes over them.

The first pass reads a sample: features, the rate of leaving, and what actions move. The second one
finds the directions of the effects, and the third one adds up the regressions. The last one holds
the effect on leaving against who really left. A decision enters with what is known of it today, so
labels that were revised, retracted or erased are right at the next fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from features.value_labels.labelled_decisions import LabelledDecisions
from training.arrays import Bools, Floats, Ints
from training.bandit.encoder import Encoder
from training.effects.effect_blocks import EffectBlocks
from training.effects.effect_directions import DirectionSums, least_statistic, standard_basis
from training.effects.effect_model import EffectModel
from training.effects.effect_sums import EffectSums, plain_baseline
from training.effects.known_decisions import (
    WITHIN_DAY,
    ReadDecisions,
    centred_actions,
    credited_by_showing,
    is_ripe,
    known_decisions,
    other_purchases,
    sampled_decisions,
    watched_days,
)
from training.effects.leaving_rates import fit_leaving_rate, leaving_rate
from training.effects.leaving_truth import LeavingTruth
from training.effects.surrogate_parts import SurrogatePart, surrogate_parts
from training.params import EffectParams

# Of the audited rate, in customers who left: one held near the mean would be accused of it.
AUDIT_RIDGE = 30.0
# Of the prior of the effects on purchases, times the given one.
PURCHASES_WEIGHTS = (1 / 4096, 1 / 1024, 1 / 256, 1 / 64, 1 / 16, 1 / 4, 1.0)
# Of the prior of a mean effect on purchases, times the given one: held like a difference it would
# stay near 0 for months. It is chosen apart: one clear difference would free the noise of means.
LEVEL_PRIOR = 1 / 64
# Its largest standard deviation, times what the acceptances of a showing bring, if they bring
# something: nobody expects of a contact that it takes several times as much away.
LEVEL_SD = 0.5
NO_RATE = -50.0  # log of a rate of leaving of about 0 a day


@dataclass(frozen=True)
class EffectInput:
    """The business whose effects are learned.

    Attributes
    ----------
    actions : tuple of str
        Of the catalogue, without `no_action`.
    groups : mapping
        The group of each action.
    features, channels : tuple of str
        Of the model input and of the domain.
    horizon_days : float
        Of the domain's objective.
    tells_leaving : bool
        False: the domain does not say who leaves, so there is an effect on purchases alone.
    """

    actions: tuple[str, ...]
    groups: Mapping[str, str]
    features: tuple[str, ...]
    channels: tuple[str, ...]
    horizon_days: float
    tells_leaving: bool = True


def fit_effects(
    read: ReadDecisions, total: int, business: EffectInput, params: EffectParams
) -> EffectModel | None:
    """Fit the effect model.

    Parameters
    ----------
    read
        Called with a step n: yields every n-th decision, some at a time.
    total : int
        Number of decisions that ``read(1)`` yields, about.

    Returns
    -------
    EffectModel or None
        None: too few decisions were looked at, or too few customers left and too few bought. In a
        business that does not tell who leaves: too few decisions are old enough, or too few
        customers bought. Before customers leave, the effects on leaving are 0.
    """
    sample = sampled_decisions(read, max(1, total // params.sample), business.actions)
    if sample is None:
        return None
    tell = sample.is_looked if business.tells_leaving else is_ripe(sample)
    if int(tell.sum()) < min(params.at_least, params.sample):
        return None
    coded = (sample.rows, business.features, business.channels)
    fit = _Fit(business, params, Encoder.fit(*coded, on=sample.channels.tolist()))
    # Before customers leave, what an action adds to purchases can be learned already.
    has_rates = business.tells_leaving and fit.learn_rates(sample)
    if not has_rates and not fit.assume_no_leaving(sample):
        return None
    fit.learn_labels(sample)
    fit.learn_basis(read, sample)
    del sample, tell  # the chances of 1,000 actions take 160 MB
    fit.add_up(read)
    return fit.model(read)


class _Label(NamedTuple):
    """A label of the decisions that have it, less what is expected whatever the action."""

    rows: Bools
    centred: Floats
    rest: Floats
    weight: Floats


class _Fit:
    """The steps of one fit."""

    def __init__(self, business: EffectInput, params: EffectParams, encoder: Encoder) -> None:
        self._business, self._params, self._encoder = business, params, encoder
        self._columns = [business.features.index(name) for name in encoder.features]

    def learn_rates(self, sample: LabelledDecisions) -> bool:
        """Fit the rates of leaving at decisions and at looks; False: too few customers left."""
        vectors, later = self._at_decision(sample), self._at_look(sample)
        followed = np.minimum(sample.leaving_known_days, self._business.horizon_days)
        left = sample.is_left(followed).astype(np.float64)
        watched = watched_days(sample, followed)
        kept = watched > 0  # the others had left before
        if len(np.unique(sample.customers[kept & (left > 0)])) < self._params.least_left:
            return False
        ridge = self._params.leaving_ridge
        self._level = fit_leaving_rate(vectors[kept], watched[kept], left[kept], ridge)
        # The rate at a look is learned at looks and at decisions: early, few looks are followed.
        plain = vectors * (np.arange(vectors.shape[1]) < self._n_plain)
        here = sample.is_looked & ~sample.gone_at_look
        since = watched[here] - sample.looked_after_days[here]
        # A silence that had begun at the look, and then lasted, is a leaving right after it.
        since = np.where(left[here] > 0, np.maximum(since, WITHIN_DAY), since)
        on = since > 0
        both = np.concatenate([plain[kept], later[here][on]])
        days = np.concatenate([watched[kept], since[on]])
        gone = np.concatenate([left[kept], left[here][on]])
        self._rate = fit_leaving_rate(both, days, gone, ridge)
        self._audited = fit_leaving_rate(both, days, gone, min(AUDIT_RIDGE, ridge))
        self._tells_leaving = True
        return True

    def assume_no_leaving(self, sample: LabelledDecisions) -> bool:
        """Take the rates of leaving for about 0; False: too few customers bought."""
        bought = sample.customers[is_ripe(sample) & (sample.other_margin != 0)]
        if len(np.unique(bought)) < self._params.least_left:
            return False
        self._rate, self._level = np.zeros((2, self._encoder.width))
        self._level[0] = NO_RATE
        self._tells_leaving = False
        return True

    def learn_labels(self, sample: LabelledDecisions) -> None:
        """Find out which actions move which features, and what labels are whatever the action."""
        vectors = self._at_decision(sample)
        usable, moved = self._moved(sample, vectors)
        self._parts = list[SurrogatePart]()
        if self._tells_leaving:
            rest = moved - vectors[usable] @ plain_baseline(vectors[usable], moved)
            drawn, rate = centred_actions(sample)[usable], self._rate[: self._n_plain]
            self._parts = surrogate_parts(rest, drawn, rate)
        self._level_sd = LEVEL_SD * credited_by_showing(sample)
        mine, ripe = vectors[usable], is_ripe(sample)
        self._of_change = [plain_baseline(mine, part.change(moved)) for part in self._parts]
        margin = other_purchases(sample.take(ripe), self._business.horizon_days)
        self._of_margin = plain_baseline(vectors[ripe], *margin)

    def learn_basis(self, read: ReadDecisions, sample: LabelledDecisions) -> None:
        """Choose the directions along which effects are told apart, by all decisions.

        A sample would lose them again: the longer one way is known to be best, the fewer of its
        decisions try another one.
        """
        params, width = self._params, self._encoder.width
        chances = [*(params.leaving_by_chance for _ in self._parts), params.purchases_by_chance]
        sums = [DirectionSums(len(actions), width) for actions in self._actions_of_labels]
        for some in self._read(read):
            vectors = self._at_decision(some)
            for one, label in zip(sums, self._labels(some, vectors), strict=True):
                one.add(vectors[label.rows], label.centred, label.rest, label.weight)
        found = [
            one.directions(least_statistic(chance, width - 1), params.directions)
            for one, chance in zip(sums, chances, strict=True)
        ]
        of_rate = self._rate[:, None] * (np.arange(width) > 0)[:, None]
        parts = np.hstack([of_rate, *found, np.eye(width)[:, self._n_plain :]])
        self._basis = standard_basis(parts, self._at_decision(sample))

    def add_up(self, read: ReadDecisions) -> None:
        """Add up the regressions of all effects over all decisions."""
        *of_leaving, everybody = self._actions_of_labels
        level_prior = LEVEL_PRIOR * self._params.purchases_prior
        sums = [EffectSums(self._blocks(actions)) for actions in of_leaving]
        sums.append(EffectSums(self._blocks(everybody), level_prior, self._level_sd))
        self._looked = 0.0
        for some in self._read(read):
            vectors = self._at_decision(some)
            mine = vectors @ self._basis
            self._looked += float(some.weight[self._usable(some)].sum())
            for one, label in zip(sums, self._labels(some, vectors), strict=True):
                one.add(mine[label.rows], label.centred, label.rest, label.weight)
        *self._leaving, self._purchases = sums

    @property
    def _actions_of_labels(self) -> list[Ints]:
        return [*(part.actions for part in self._parts), np.arange(len(self._business.actions))]

    def _labels(self, some: LabelledDecisions, vectors: Floats) -> Iterator[_Label]:
        """The labels of some decisions: of each part of the surrogate, then of the purchases."""
        centred, weight = centred_actions(some), some.weight
        usable, moved = self._moved(some, vectors)
        for part, of_change in zip(self._parts, self._of_change, strict=True):
            rest = part.change(moved) - vectors[usable] @ of_change
            yield _Label(usable, centred[usable][:, part.actions], rest, weight[usable])
        ripe = is_ripe(some)
        margin, share = other_purchases(some.take(ripe), self._business.horizon_days)
        rest = margin - vectors[ripe] @ self._of_margin
        yield _Label(ripe, centred[ripe], rest, share * weight[ripe])

    def _blocks(self, actions: Ints) -> EffectBlocks:
        names = tuple(self._business.actions[action] for action in actions)
        return EffectBlocks(names, self._business.groups, self._basis.shape[1])

    def model(self, read: ReadDecisions) -> EffectModel:
        """Solve for the effects, and hold the effect on leaving against who left."""
        params, business = self._params, self._business
        width, n_actions = self._basis.shape[1], len(business.actions)
        leaving, covariance = np.zeros((n_actions, width)), np.zeros((n_actions, width, width))
        for part, sums in zip(self._parts, self._leaving, strict=True):
            solved = sums.solve(params.leaving_prior)
            leaving[part.actions] += solved.weights
            covariance[part.actions] += solved.covariance
        purchases = self._purchases.solve(params.purchases_prior, PURCHASES_WEIGHTS)
        scale = params.exploration_scale**2
        model = EffectModel(
            actions=business.actions,
            encoder=self._encoder,
            basis=self._basis,
            level=self._level,
            purchases=purchases.weights,
            purchases_covariance=purchases.covariance * scale,
            leaving=leaving,
            leaving_covariance=covariance * scale,
            duration_days=params.duration_days,
            note={"looked": self._looked, "decisions": self._purchases.counted},
        )
        if not self._tells_leaving:
            return model
        truth = LeavingTruth(model, business.groups, params, business.horizon_days)
        for some in self._read(read):
            later_rate = leaving_rate(self._at_look(some), self._audited)
            truth.add(some, self._at_decision(some), centred_actions(some), later_rate)
        return replace(truth.corrected(), note={**model.note, **truth.note})

    def _moved(self, some: LabelledDecisions, vectors: Floats) -> tuple[Bools, Floats]:
        """Find the decisions that tell how features moved until the look, and how they did."""
        usable = self._usable(some)
        later = self._at_look(some.take(usable))
        return usable, (later - vectors[usable])[:, : self._n_plain]

    def _usable(self, some: LabelledDecisions) -> Bools:
        """Mark the decisions that tell how features moved until the look.

        Customers who had left by the look are left out: they count among those who really left.
        """
        return some.is_looked & ~some.gone_at_look & self._tells_leaving

    def _read(self, read: ReadDecisions) -> Iterator[LabelledDecisions]:
        for some in read(1):
            yield known_decisions(some, self._business.actions)

    @property
    def _n_plain(self) -> int:
        """Elements of a vector before the indicators of the channels."""
        return 1 + len(self._encoder.features)

    def _at_decision(self, some: LabelledDecisions) -> Floats:
        return self._encoder.encode(some.rows[:, self._columns], some.channels.tolist())

    def _at_look(self, some: LabelledDecisions) -> Floats:
        """Vectors of the customers at the look; nobody is on a channel then."""
        vectors = self._encoder.encode(some.later[:, self._columns], ("",) * some.n_decisions)
        vectors[:, self._n_plain :] = 0.0
        return vectors
