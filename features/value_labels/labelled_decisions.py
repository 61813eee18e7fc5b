"""Served decisions with what followed, as arrays: what effects of actions are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.business.catalog import NO_ACTION

GONE = -1  # in `shown`: an action that is not among the actions any more


class ValueLabel(NamedTuple):
    """The labels of some decisions: Y = margin - cost + V x (1 - leaving).

    They are provisional while the horizon lasts: margin counts the days that have passed, and
    leaving is expected. They are computed from the ledger each time, so a late or deleted event, a
    retracted outcome and an erased customer change them.

    Attributes
    ----------
    margin : shape (n,), in the domain's currency
        The margin of the customer's events after the decision, within the horizon.
    cost : shape (n,), in the domain's currency
        The cost of what was shown.
    leaving : shape (n,)
        The probability that the customer leaves within the horizon.
    remaining : shape (n,), in the domain's currency
        V: what the customer would take along by leaving.
    """

    margin: NDArray[np.float64]
    cost: NDArray[np.float64]
    leaving: NDArray[np.float64]
    remaining: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """Y, shape (n,), in the domain's currency."""
        return self.margin - self.cost + self.remaining * (1 - self.leaving)


class LabelledDecisions(NamedTuple):
    """Some served decisions, each with its first slot and with what followed.

    A decision without an action counts like any other. K is the number of actions.

    Attributes
    ----------
    actions : tuple of str, length K
        The actions that the columns of ``chances`` stand for, without `no_action`.
    rows : shape (n, n_features)
        The features of the customer at the decision.
    later : shape (n, n_features)
        The features some days after the decision was shown; nan where nobody has looked yet.
    looked_after_days : shape (n,)
        Days from the showing to that look; nan: nobody has looked yet.
    gone_at_look : shape (n,)
        Whether the customer had left by then; False where nobody has looked yet.
    channels, arms : shape (n,), texts
    shown : shape (n,), whole numbers
        The first slot: index into ``actions``, K for `no_action`, `GONE` for an action that is not
        among them.
    chances : shape (n, K + 1)
        The probability with which each was drawn for the first slot, `no_action` last; 0 where it
        was no candidate. A row sums to less than 1 if it had candidates that are `GONE`.
    customers : shape (n,), whole numbers
        The same number for decisions of one customer.
    decided_us : shape (n,), whole numbers
        When the decision was shown, in microseconds since 1970.
    age_days : shape (n,)
        The days that have passed since.
    margin : shape (n,), in the domain's currency
        The margin of the customer's events after the showing, for the days of the horizon or as
        many as have passed.
    credited : shape (n,), in the domain's currency
        The credited acceptances of the decision, each times the value of its action.
    cost : shape (n,), in the domain's currency
        The costs of what was shown.
    left_after_days : shape (n,)
        Whole days until the customer left within the horizon, and is still gone at its end, or now;
        -1 for one who was gone before. nan: the customer has not left, or is back. A customer who
        leaves by falling silent leaves when the silence begins; 0 if it began before.
    leaving_known_days : shape (n,)
        The days after the showing of which it is known whether the customer left: the age, less the
        days that a silence must last. Below 0: nothing is known yet.
    remaining : shape (n,), in the domain's currency
        What the customer would take along by leaving, as known at the decision.
    weight : shape (n,)
        1 for a decision that counts once.
    """

    actions: tuple[str, ...]
    rows: NDArray[np.float64]
    later: NDArray[np.float64]
    looked_after_days: NDArray[np.float64]
    gone_at_look: NDArray[np.bool_]
    channels: NDArray[np.str_]
    arms: NDArray[np.str_]
    shown: NDArray[np.int64]
    chances: NDArray[np.float64]
    customers: NDArray[np.int64]
    decided_us: NDArray[np.int64]
    age_days: NDArray[np.float64]
    margin: NDArray[np.float64]
    credited: NDArray[np.float64]
    cost: NDArray[np.float64]
    left_after_days: NDArray[np.float64]
    leaving_known_days: NDArray[np.float64]
    remaining: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def n_decisions(self) -> int:
        """The number of decisions."""
        return len(self.shown)

    @property
    def other_margin(self) -> NDArray[np.float64]:
        """The margin beyond the credited acceptances, shape (n,)."""
        return self.margin - self.credited

    @property
    def is_looked(self) -> NDArray[np.bool_]:
        """Return whether somebody has looked at the features some days later, shape (n,)."""
        return ~np.isnan(self.looked_after_days)

    def is_left(self, within_days: float | NDArray[np.float64] = np.inf) -> NDArray[np.bool_]:
        """Return whether the customer left within some days of the decision, shape (n,)."""
        return self.left_after_days <= within_days  # nan is not

    def labels(self, leaving: NDArray[np.float64] | None = None) -> ValueLabel:
        """Label the decisions, those without an action like any other.

        Parameters
        ----------
        leaving : shape (n,)
            The probability of leaving that is expected of each (the surrogate). None: 1 for a
            customer who has left by now, within the horizon, else 0.
        """
        if leaving is None:
            leaving = self.is_left().astype(np.float64)
        return ValueLabel(self.margin, self.cost, leaving, self.remaining)

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> LabelledDecisions:
        """Choose some decisions, by index or by a mask."""
        columns: Any = self[1:]
        return LabelledDecisions(self.actions, *(column[which] for column in columns))

    def for_actions(self, actions: Sequence[str]) -> LabelledDecisions:
        """Give the same decisions with the columns of other actions."""
        places = {name: place for place, name in enumerate(actions)}
        columns = [places.get(name, GONE) for name in self.actions]
        shown = np.array([*columns, len(actions), GONE])[self.shown]
        chances = np.zeros((self.n_decisions, len(actions) + 1))
        for old, new in enumerate((*columns, len(actions))):
            if new != GONE:
                chances[:, new] = self.chances[:, old]
        return self._replace(actions=tuple(actions), shown=shown, chances=chances)


def labelled_decisions(
    actions: Sequence[str],
    rows: NDArray[np.float64],
    shown: Sequence[str],
    chances: NDArray[np.float64],
    **told: Any,
) -> LabelledDecisions:
    """Make labelled decisions from arrays, without a ledger.

    Parameters
    ----------
    actions : length K
        Without `no_action`.
    rows : shape (n, n_features)
    shown : length n
        The action of the first slot of each decision, `no_action` too.
    chances : shape (n, K + 1)
        `no_action` last.
    told
        Other columns of `LabelledDecisions`, each of shape (n, ...). Without it: nobody has looked,
        each decision is of a customer of its own, is a year old and earned, cost and lost nothing.

    Raises
    ------
    ValueError
        If a column does not have one row for each decision, or is no column.
    """
    count, places = len(rows), {name: place for place, name in enumerate(actions)}
    places[NO_ACTION] = len(actions)
    nothing, unknown = np.zeros(count), np.full(count, np.nan)
    columns: dict[str, Any] = {
        "rows": np.asarray(rows, dtype=np.float64),
        "later": np.full(np.shape(rows), np.nan),
        "looked_after_days": unknown,
        "gone_at_look": np.zeros(count, dtype=bool),
        "channels": np.full(count, ""),
        "arms": np.full(count, "policy"),
        "shown": np.array([places.get(name, GONE) for name in shown], dtype=np.int64),
        "chances": np.asarray(chances, dtype=np.float64),
        "customers": np.arange(count),
        "decided_us": np.zeros(count, dtype=np.int64),
        "age_days": np.full(count, 365.0),
        **dict.fromkeys(("margin", "credited", "cost"), nothing),
        "left_after_days": unknown,
        "leaving_known_days": told.get("age_days", np.full(count, 365.0)),
        "remaining": nothing,
        "weight": np.ones(count),
    }
    for name, column in told.items():
        if name not in columns:
            raise ValueError(f"{name} is no column; expected one of {', '.join(columns)}")
        columns[name] = np.asarray(column)
    for name, column in columns.items():
        if len(column) != count:
            raise ValueError(f"{name} has {len(column)} rows; expected {count}, as features have")
    if columns["chances"].shape[1:] != (len(actions) + 1,):
        raise ValueError(
            f"chances has shape {columns['chances'].shape}; expected ({count}, {len(actions) + 1})"
        )
    return LabelledDecisions(tuple(actions), **columns)


def joined(parts: Sequence[LabelledDecisions]) -> LabelledDecisions:
    """Put the decisions of several parts, of the same actions, one after the other.

    Raises
    ------
    ValueError
        If there is no part, or their actions differ.
    """
    if len({part.actions for part in parts}) != 1:
        raise ValueError("parts are of several lists of actions, or none; expected one list")
    columns: Any = zip(*(part[1:] for part in parts), strict=True)
    return LabelledDecisions(parts[0].actions, *(np.concatenate(some) for some in columns))
