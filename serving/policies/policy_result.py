"""The result of a policy, and the removals by several policies one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from serving.contract.decisions import Removed
from serving.policies.eligibility import NO_TREATMENT
from training.arrays import Bools


class PolicyResult(Protocol):
    """The actions that one policy removes from one decision, and the reason for each.

    `EligibilityResult`, `ContactPolicyResult` and `PacingResult` implement it.
    """

    @property
    def out(self) -> Bools:
        """Mask of the removed actions, shape (n_actions,)."""

    def rule(self, action: int) -> str:
        """Name of the first rule that removes an action: its key in the catalogue or request."""

    def why(self, action: int) -> Removed:
        """The first rule that removes an action, with its reason and the value it found."""


class FixedRemovals(NamedTuple):
    """The actions that one rule removes, whatever the slots of the decision are filled with.

    ``reason`` gives the sentence and the value found for an action by its position.
    """

    rule: str
    mask: Bools
    reason: Callable[[int], tuple[str, Any]]


def same_for_all(rule: str, mask: Bools, reason: tuple[str, Any]) -> FixedRemovals:
    """Removals that have the same reason for each action."""
    return FixedRemovals(rule, mask, lambda _: reason)


class Removals:
    """Names the first policy that removed each action, and its rule.

    Parameters
    ----------
    actions : sequence of str
        The actions of the catalogue, in its order.
    results : sequence of PolicyResult
        In the order in which the policies are applied.
    """

    def __init__(self, actions: Sequence[str], results: Sequence[PolicyResult]) -> None:
        self._actions = actions
        # Backwards, so that the first policy that removes an action overwrites the later ones.
        first: dict[int, PolicyResult] = {}
        for one in reversed(results):
            first |= dict.fromkeys(one.out.nonzero()[0].tolist(), one)
        self._first = {index: first[index] for index in sorted(first)}

    def rules(self) -> dict[str, str]:
        """Return the first rule that removed each action that the channel could show."""
        actions = self._actions
        return {
            actions[index]: rule
            for index, one in self._first.items()
            if (rule := one.rule(index)) != NO_TREATMENT
        }

    def in_words(self) -> list[Removed]:
        """List every removed action with the rule, and the value that the rule found."""
        return [result.why(index) for index, result in self._first.items()]
