"""The control group: a small stable share of customers who get a random allowed action."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from features.business.catalog_rules import ControlGroup
from training.arrays import Floats

Arm = Literal["policy", "control"]


def arm_of(customer_id: str, group: ControlGroup) -> Arm:
    """The arm of a customer; it is always the same for one salt, on every machine.

    The hash of salt and customer id serves as a uniform random number. A merged customer has the
    arm of the customer id that stayed.
    """
    digest = hashlib.sha256(f"{group.salt}:{customer_id}".encode()).digest()
    uniform = int.from_bytes(digest[:7], "big") / 2**56
    return "control" if uniform < group.share else "policy"


def uniform_probabilities(priority: Floats) -> Floats:
    """The same probability for each allowed action, shape (n_actions,).

    Parameters
    ----------
    priority : shape (n_actions,)
        ``nan`` for an action that is not allowed.
    """
    allowed = ~np.isnan(priority)
    return np.where(allowed, 1.0 / allowed.sum(), 0.0)
