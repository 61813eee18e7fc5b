"""The interface that the results of eligibility, contact policy and pacing share."""

from __future__ import annotations

from typing import Protocol

from serving.contract.decisions import Removed
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
