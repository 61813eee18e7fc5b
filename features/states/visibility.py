"""Makes appended events visible: callers wait until the online store shows their own customers.

States that wait for other reasons, such as a build or an outage, are the backlog. It is worked off
in the background, in small steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from features.errors import NbaError, NotVisible
from features.identity.relocation import relocate_some
from features.ledger.ledger import Ledger
from features.states.journey_states import JourneyStates
from features.states.publishing import (
    STATES_PER_WRITE,
    OnlineStore,
    Unpublished,
    publish_states,
    waiting_keys,
)
from features.states.refold_tasks import RefoldTasks

PAUSE_S = 0.02  # between two steps of the backlog
ROWS_MOVED = 250  # events in one transaction: some 10 ms
TOGETHER = 20  # customers of one call, folded in turns
ATTEMPTS = 50  # at a state that changes all the time, before the caller is told so


class StatePublisher:
    """Shows the states of customers in the online store.

    The states wait in ``ledger``, and are shown in ``online``.
    """

    def __init__(self, ledger: Ledger, online: OnlineStore, states: JourneyStates) -> None:
        self._ledger = ledger
        self._online = online
        self._refolds = RefoldTasks(ledger, states)
        # The keys that callers wait for. One unit of work of a transaction publishes all of them.
        self._wanted: dict[object, Sequence[str]] = {}
        self._published_in: sa.RootTransaction | None = None
        self._covered: set[str] = set()  # keys that this transaction has looked at
        self._left = Unpublished([], {})  # those of them that it could not publish

    async def show(
        self, keys: Iterable[str], now: datetime, together: int = TOGETHER
    ) -> dict[str, str]:
        """Wait until the online store shows the events of some customers and accounts.

        Parameters
        ----------
        together : int
            The number of customers who are folded in turns, step by step.

        Returns
        -------
        dict
            Customers whose past cannot be folded, each with a sentence; they are not shown.

        Raises
        ------
        NotVisible
            If the feature store is down.
        """
        waiting = list(dict.fromkeys(keys))
        problems: dict[str, str] = {}
        for _ in range(ATTEMPTS):
            waiting, some = await self._publish(waiting, now)
            problems |= some
            if not waiting:
                return problems
            for begin in range(0, len(waiting), together):
                some_keys = waiting[begin : begin + together]
                await asyncio.gather(*(self._refolds.run(key) for key in some_keys))
        raise NotVisible(
            f"The past of {waiting[0]!r} changes faster than its features are computed.",
            expected="some seconds without late events of this customer",
            remedy="The events are kept. Send them again later.",
        )

    async def show_backlog(self, now: datetime, pause_s: float = PAUSE_S) -> int:
        """Show all states that wait, with pauses between the steps; return their number.

        Raises
        ------
        NotVisible
            If the feature store is down.
        """
        count = 0
        while keys := await self._ledger.read_async(waiting_keys):
            await self.show(keys, now, together=1)  # callers do not wait for many
            count += len(keys)
            await asyncio.sleep(pause_s)
        await self._relocate(pause_s)
        return count

    async def _relocate(self, pause_s: float) -> None:
        """Move the rows of merged and split customers (`relocation`), in small steps."""
        while await self._ledger.write(partial(relocate_some, rows=ROWS_MOVED), begun=True):
            await asyncio.sleep(pause_s)

    def close(self) -> None:
        """Stop folding; a history that was begun is left to the next start."""
        self._refolds.close()

    async def _publish(self, keys: Sequence[str], now: datetime) -> Unpublished:
        """Write the states that wait, for all callers that wait now."""
        left = Unpublished([], {})
        for begin in range(0, len(keys), STATES_PER_WRITE):
            some = keys[begin : begin + STATES_PER_WRITE]
            caller = object()
            self._wanted[caller] = some
            try:
                unit = partial(self._publish_wanted, own=some, now=now)
                unfolded, problems = await self._ledger.write(unit, first=True)
                left.unfolded.extend(unfolded)
                left.problems.update(problems)
            except NbaError:
                raise
            except Exception as error:
                raise NotVisible(
                    f"The feature store cannot be written ({type(error).__name__}).",
                    expected="a store that shows events to the next decision",
                    remedy="The events are kept. Send them again when /readyz names no problem.",
                ) from error
            finally:
                del self._wanted[caller]
        return left

    def _publish_wanted(
        self, connection: sa.Connection, own: Sequence[str], now: datetime
    ) -> Unpublished:
        """Publish the keys of all callers that wait now; return what is left of ``own``."""
        transaction = connection.get_transaction()
        if transaction is not self._published_in or not self._covered.issuperset(own):
            wanted = [key for keys in list(self._wanted.values()) for key in keys]
            some = list(dict.fromkeys([*own, *wanted]))[:STATES_PER_WRITE]
            self._left = publish_states(connection, self._online, some, now)
            self._published_in, self._covered = transaction, {*some}
        unfolded, problems = self._left
        return Unpublished(
            [key for key in unfolded if key in own],
            {key: problem for key, problem in problems.items() if key in own},
        )
