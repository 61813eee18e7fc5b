"""The control group: a small stable share of customers who get a random allowed action."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from features.business.catalog_rules import ControlGroup
from training.arrays import Floats

Arm = Literal["policy", "control"]


def arm_of(customer_id: str, group: ControlGroup) -> Arm:
    """Which arm a customer is in: the same for ever, on every machine, for one salt.

    The hash of salt and customer serves as a uniform random number; who is merged takes the arm
    of whom they became.
    """
    digest = hashlib.sha256(f"{group.salt}:{customer_id}".encode()).digest()
    uniform = int.from_bytes(digest[:7], "big") / 2**56
    return "control" if uniform < group.share else "policy"


def uniform_probabilities(worth: Floats) -> Floats:
    """The same chance for each allowed action, shape (n_actions,); ``nan`` is not allowed."""
    allowed = ~np.isnan(worth)
    return np.where(allowed, 1.0 / allowed.sum(), 0.0)
