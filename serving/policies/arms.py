"""The arms of the experiment: stable, disjoint shares of the customers, by which lift is measured.

``policy``
    The policy chooses.
``random``
    The action is drawn evenly from those that eligibility and contact policy allow.
``nobody``
    Nobody contacts the customer, but for actions of groups of ``kind: service``.
``control``
    Decisions of before there were three arms: drawn evenly from what shadow prices had left. No
    customer is in it any more.
"""

from __future__ import annotations

import hashlib

import numpy as np

from features.business.catalog_rules import Arms
from serving.contract.decisions import Arm as Arm
from training.arrays import Floats

DRAWN_EVENLY = ("random", "control")


def arm_of(customer_id: str, arms: Arms) -> Arm:
    """The arm of a customer; it is always the same for one salt, on every machine.

    The hash of salt and customer id serves as a uniform random number u, in [0, 1). The arm is
    ``random`` if u < random, else ``nobody`` if u < random + nobody, else ``policy``. So no
    customer is in two arms, and members of a former control group are in ``random``. A merged
    customer has the arm of the customer id that stayed.
    """
    digest = hashlib.sha256(f"{arms.salt}:{customer_id}".encode()).digest()
    uniform = int.from_bytes(digest[:7], "big") / 2**56
    if uniform < arms.random:
        return "random"
    return "nobody" if uniform < arms.random + arms.nobody else "policy"


def uniform_probabilities(priority: Floats) -> Floats:
    """The same probability for each allowed action, shape (n_actions,).

    Parameters
    ----------
    priority : shape (n_actions,)
        ``nan`` for an action that is not allowed.
    """
    allowed = ~np.isnan(priority)
    return np.where(allowed, 1.0 / allowed.sum(), 0.0)


def with_experiment(chances: Floats, priority: Floats, share: float) -> Floats:
    """Mix the probabilities with those of an experiment: half no action, half any allowed one.

    Parameters
    ----------
    chances, priority : shape (n_actions + 1,)
        The last one is `no_action`; a priority is ``nan`` where the action is not allowed.
    share : float
        Of the experiment.
    """
    if not share:
        return chances
    allowed = ~np.isnan(priority)
    allowed[-1] = False
    count = int(allowed.sum())
    if not count:
        return chances
    mixed: Floats = (1.0 - share) * chances + share * allowed / (2 * count)
    mixed[-1] += share / 2
    return mixed


def with_least_no_action(chances: Floats, least: float) -> Floats:
    """Give `no_action` at least this probability, and scale the others down; they sum to 1.

    So what `no_action` is worth stays measured, however good the actions are.

    Parameters
    ----------
    chances : shape (n_actions + 1,)
        The last one is `no_action`.
    """
    if chances[-1] >= least:
        return chances
    kept: Floats = chances * ((1.0 - least) / (1.0 - chances[-1]))
    kept[-1] = least
    return kept
