"""The log of an off-policy evaluation: judged decisions as arrays of probabilities and rewards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from features.business.catalog import NO_ACTION
from training.arrays import Bools, Floats

UNSPENT = "nothing is recorded of a volume or budget until then: it counts as unspent"
NEAREST = (
    "the snapshot of then is not kept: of actions that were no candidates the nearest one is asked"
)
NO_EFFECTS = (
    "the effect model of then is not kept: effects of actions that were no candidates count as 0"
)
GONE = "the action drawn is not in the current catalogue: it counts as earning nothing, at no cost"

# By action, the probability of the first slot; actions with probability 0 may be left out.
Probabilities = Mapping[str, float]


class JudgedDecision(NamedTuple):
    """A logged decision, with the probabilities of three policies and the reward that followed.

    Attributes
    ----------
    action_id : str
        The action that was drawn for the first slot.
    reward : float, in the domain's currency
        Credited reward of that action less its cost; 0 for `no_action` and for an action that was
        not shown in the end.
    features : shape (n_features,)
        The model input of then.
    slots : int
        The number of slots that were asked for; only the first is judged.
    logged : by action
        The probabilities with which the action was drawn; in the arm random they are uniform.
    decided : by action
        Those of the policy that decided, also of a decision in the arm random.
    evaluated : by action
        Those of the evaluated policy.
    imported : bool
        It was not made by this service. Of ``logged`` and ``decided`` only the probability of the
        action that was drawn is known.
    notes : sequence of str
        What is said of the decision, such as `UNSPENT`.
    """

    customer_id: str
    channel: str
    action_id: str
    reward: float
    features: Floats
    slots: int
    logged: Probabilities
    decided: Probabilities
    evaluated: Probabilities
    imported: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReplayedLog:
    """Logged decisions, with the probabilities of the logging and of the evaluated policy.

    Attributes
    ----------
    actions : tuple of str
        Names of the columns; `no_action` is the last one.
    reward : shape (n,), in the domain's currency
        Credited reward of the first action, less its cost.
    action : shape (n,)
        Column of the action that was drawn.
    logged, decided, evaluated : shape (n, n_actions)
        Probability of each action in the first slot: in the log, under the policy that decided,
        in whatever arm, and under the evaluated policy.
    contexts : shape (n, n_contexts)
        Model input, and a 0/1 column for each channel.
    customers : n texts
    imported : shape (n,), bool
        Decisions of which only the probability of the action that was drawn is known; the others
        are 0 in ``logged`` and ``decided``.
    several_slots : int
        Number of decisions that were asked for more than one slot.
    left_out : number of decisions that cannot be evaluated, by reason
    notes : number of decisions of which something is said, by what is said
    """

    actions: tuple[str, ...]
    reward: Floats
    action: np.ndarray[Any, np.dtype[np.intp]]
    logged: Floats
    decided: Floats
    evaluated: Floats
    contexts: Floats
    customers: tuple[str, ...]
    imported: Bools
    several_slots: int
    left_out: Mapping[str, int]
    notes: Mapping[str, int]


def replayed_log(
    judged: Sequence[JudgedDecision],
    actions: Sequence[str],
    channels: Sequence[str],
    left_out: Mapping[str, int],
) -> ReplayedLog:
    """Put judged decisions into arrays; the rows have the order of ``judged``.

    Parameters
    ----------
    actions
        Names that have a column even if no decision could take them.
    channels
        All channels of the domain.
    left_out
        Counts of 0 are dropped.
    """
    known = {*actions, *(one.action_id for one in judged)}
    for one in judged:
        known.update(one.logged, one.decided, one.evaluated)
    names = (*sorted(known - {NO_ACTION}), NO_ACTION)
    column = {name: index for index, name in enumerate(names)}
    logged, decided, evaluated = np.zeros((3, len(judged), len(names)))
    for number, one in enumerate(judged):
        for rows, policy in ((logged, one.logged), (decided, one.decided)):
            rows[number, [column[name] for name in policy]] = list(policy.values())
        held = [column[name] for name in one.evaluated]
        evaluated[number, held] = list(one.evaluated.values())
    asked_on = [[one.channel == name for name in channels] for one in judged]
    features = [one.features for one in judged]
    return ReplayedLog(
        actions=names,
        reward=np.array([one.reward for one in judged], dtype=np.float64),
        action=np.array([column[one.action_id] for one in judged], dtype=np.intp),
        logged=logged,
        decided=decided,
        evaluated=evaluated,
        contexts=np.column_stack([features, asked_on]) if judged else np.empty((0, 0)),
        customers=tuple(one.customer_id for one in judged),
        imported=np.array([one.imported for one in judged], dtype=np.bool_),
        several_slots=sum(one.slots > 1 for one in judged),
        left_out={why: count for why, count in left_out.items() if count},
        notes=Counter(note for one in judged for note in one.notes),
    )
