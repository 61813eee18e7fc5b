"""Arranges the effects of actions in blocks, so that actions share what is known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from training.arrays import Bools, Floats, Ints

MAX_WIDTH = 1_500  # of the sums without levels; what needs more is shared by more actions


@dataclass(frozen=True)
class EffectBlocks:
    """Shares effects: an action has that of any action, of its group, and its own.

    With many actions, each has a level of its own and no slopes; with many groups, the largest ones
    alone have a block.

    Attributes
    ----------
    actions : tuple of str
    groups : mapping
        The group of each action.
    width : int
        Length of a vector.
    """

    actions: tuple[str, ...]
    groups: Mapping[str, str]
    width: int

    @cached_property
    def shared(self) -> Floats:
        """Blocks of whole vectors that each action has, shape (n_actions, n_blocks)."""
        names = [self.groups.get(action, "") for action in self.actions]
        sizes = Counter(name for name in names if name)
        largest = sizes.most_common(max(MAX_WIDTH // self.width - 2, 0))
        several = [name for name, size in largest if size > 1]
        of_any = np.ones((len(names), 1))
        of_group = np.array([[float(name == group) for group in several] for name in names])
        blocks = np.hstack([of_any, of_group.reshape(len(names), len(several))])
        both = np.hstack([blocks, np.eye(len(names))])
        fits = self.width * (1 + both.shape[1]) <= MAX_WIDTH
        return both if fits else blocks

    @property
    def has_own_slopes(self) -> bool:
        """Return whether each action has a block of its own; else it has a level of its own."""
        return bool(self.shared.shape[1] > len(self.actions))

    @property
    def total(self) -> int:
        """Width of the sums: the baseline, the blocks, and the levels."""
        levels = 0 if self.has_own_slopes else len(self.actions)
        return int(self.width * (1 + self.shared.shape[1]) + levels)

    @cached_property
    def block_of(self) -> Ints:
        """The block of each place in the sums: 0 is the baseline; levels are the last block."""
        n_blocks = 1 + self.shared.shape[1]
        wide = np.repeat(np.arange(n_blocks), self.width)
        levels = np.full(self.total - len(wide), n_blocks)
        found: Ints = np.concatenate([wide, levels])
        return found

    @cached_property
    def is_level(self) -> Bools:
        """Places in the sums that hold mean effects, shape (total,); the baseline has none."""
        wide = self.width * (1 + self.shared.shape[1])
        place = np.arange(self.total)
        found: Bools = (place >= wide) | ((place >= self.width) & (place % self.width == 0))
        return found

    def regressors(self, vectors: Floats, centred: Floats) -> Floats:
        """Arrange the regressors of decisions, shape (n, total).

        Parameters
        ----------
        vectors : shape (n, width)
        centred : shape (n, n_actions)
            Indicator of the shown action less the chance of each; see `centred_indicators`.
        """
        blocks = centred @ self.shared
        wide = (blocks[:, :, None] * vectors[:, None, :]).reshape(len(vectors), -1)
        levels = [] if self.has_own_slopes else [centred]
        return np.hstack([vectors, wide, *levels])

    def places(self, action: int) -> list[Ints]:
        """Places in the sums that add up to the weights of an action, each of shape (width,)."""
        blocks = np.flatnonzero(self.shared[action])
        return [self.width * (1 + int(block)) + np.arange(self.width) for block in blocks]

    def level(self, action: int) -> int | None:
        """Place in the sums of the level of an action; None if it has slopes of its own."""
        if self.has_own_slopes:
            return None
        return int(self.width * (1 + self.shared.shape[1]) + action)


def centred_indicators(shown: Ints, chances: Floats) -> Floats:
    """Compute the indicator of the shown action less the chance of each, shape (n, n_actions).

    Parameters
    ----------
    shown : shape (n,)
        Index of the action; ``n_actions``: none.
    chances : shape (n, n_actions + 1)
        Exact chances of the draw; the last is that of `no_action`.
    """
    centred = -chances
    centred[np.arange(len(shown)), shown] += 1.0
    return centred[:, :-1]
