"""Reads after which decision there was harm, and with which chances its action was drawn.

*Which decision.* Harm belongs to the customer's newest decision before it, of those of the last
``within_days``. With ``against: random`` it is the newest one that drew an action: harm of a
contact, such as a withdrawn consent, does not wait for the next page. With ``against: nobody``
decisions that drew `no_action` count as well. Each decision counts once, by its first harm: two
events after one decision are one draw. "Harm before the next decision, within so many days" is
settled after the draw only, so given the harm the draw has the odds of `harm_test`.

*Which draws are compared.* With ``against: random`` the action is compared with the other actions
that could have been drawn: e is its chance divided by the chances of all actions. `no_action` is
left out, as it can do no harm that needs a contact; each action would look harmful beside it. With
``against: nobody`` it is compared with `no_action`, among the draws of these two. If e is 0 or 1
nothing could be compared, and the decision tells nothing.

*Selection.* A decision counts by what was drawn, whether it was shown or not (intention to treat).
A caller activates rather an action than `no_action`; if only activated decisions counted, e would
not be the chance any more. So harm may follow a draw that was never shown, which makes a test
slower and never wrong. Decisions of the arms ``policy`` and ``random`` count. The first slot
counts alone: the others are filled depending on it. What the other slots show belongs to the first.

*Limits.* Chances are those that were logged, so harm after decisions whose record retention has
removed is not counted. The chances of a decision must not tell what was drawn at another one whose
harm is still to come. Strictly, a model that has learned from that draw tells a little of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from pydantic_core import from_json

from features.business.catalog import NO_ACTION
from features.business.decided_actions import logged_chances
from features.ledger import tables
from features.ledger.statements import among

ARMS = ("policy", "random")
_DECIDED = tables.decisions.c
_READ = (
    *(_DECIDED.decision_id, _DECIDED.decided_at, _DECIDED.action_id),
    *(_DECIDED.believed, _DECIDED.record),
)


class Draw(NamedTuple):
    """The draw of a decision: the action, and the chance of each that could have been drawn."""

    decision_id: str
    decided_at: datetime
    action_id: str
    chances: dict[str, float]


class Toss(NamedTuple):
    """One toss of the coin of `harm_test`: an action had been drawn, or not, before some harm."""

    action_id: str
    chance: float
    followed: bool


class DrawReader:
    """Reads draws, and remembers the actions of each catalogue."""

    def __init__(self) -> None:
        self._actions: dict[str, tuple[str, ...]] = {}

    def newest(
        self,
        connection: sa.Connection,
        keys: Sequence[str],
        begin: datetime,
        until: datetime,
        with_no_action: bool,
    ) -> Draw | None:
        """Read the newest draw for a customer.

        Parameters
        ----------
        keys
            All keys of the customer.
        begin, until
            From the first of these times on, and before the second.
        with_no_action
            Whether draws of `no_action` count.
        """
        query = sa.select(*_READ).where(
            among(_DECIDED.customer_id, keys),
            _DECIDED.decided_at >= begin,
            _DECIDED.decided_at < until,
            _DECIDED.arm.in_(ARMS),
            _DECIDED.believed.is_not(None),
        )
        if not with_no_action:
            query = query.where(_DECIDED.action_id != NO_ACTION)
        newest = query.order_by(_DECIDED.decided_at.desc(), _DECIDED.serial.desc()).limit(1)
        row = connection.execute(newest).first()
        if row is None:
            return None
        record = from_json(row.record)
        actions = self._actions_of(connection, record["catalog"])
        chances = logged_chances(row, record, actions)
        return Draw(row.decision_id, row.decided_at, row.action_id, chances)

    def _actions_of(self, connection: sa.Connection, fingerprint: str) -> tuple[str, ...]:
        if fingerprint not in self._actions:
            columns = tables.catalogs.c
            query = sa.select(columns.content).where(columns.fingerprint == fingerprint)
            content = from_json(connection.execute(query).scalar_one())
            self._actions[fingerprint] = tuple(content["actions"])
        return self._actions[fingerprint]


def tosses(draw: Draw, against: str) -> list[Toss]:
    """List the actions that a draw with harm after it tells something of.

    Parameters
    ----------
    against
        ``random``: the other actions; ``nobody``: `no_action`.
    """
    chances = {name: chance for name, chance in draw.chances.items() if name != NO_ACTION}
    if against == "random":
        total = sum(chances.values())
        found = [
            Toss(name, chance / total, name == draw.action_id)
            for name, chance in chances.items()
            if total > 0 and draw.action_id != NO_ACTION
        ]
    else:
        nothing = draw.chances.get(NO_ACTION, 0.0)
        found = [
            Toss(name, chance / (chance + nothing), name == draw.action_id)
            for name, chance in chances.items()
            if draw.action_id in (name, NO_ACTION) and chance + nothing > 0
        ]
    return [one for one in found if 0.0 < one.chance < 1.0]
