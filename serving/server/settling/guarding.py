"""Counts harm in the first worker of a server; keeps from each worker what is switched off."""

from __future__ import annotations

import asyncio
from functools import partial

from features.ledger.simulated_clock import has_begun
from serving.effects.surrogate_view import SurrogateView, read_surrogate_view
from serving.server import monitoring
from serving.server.components import Components
from serving.server.settling.sums import BETWEEN_STEPS_S
from serving.server.work_pools import WorkPool


class GuardrailTasks:
    """The tasks of guardrails in one worker.

    Parameters
    ----------
    components
        Its engine offers no action that is switched off.
    threads
        In which the steps run.
    leads : bool
        Whether this worker counts, as the first one does.
    """

    def __init__(self, components: Components, threads: WorkPool, leads: bool) -> None:
        self._parts = components
        self._threads = threads
        self._leads = leads
        self._measured: monitoring.EValues = {}
        self._audited: SurrogateView | None = None

    async def watch(self) -> None:
        """Count harm, if this worker does; know what is switched off, also by another process."""
        await (self.count() if self._leads else self.refresh())

    async def count(self, pause_s: float = BETWEEN_STEPS_S) -> None:
        """Count all harm that is due, in steps that leave time to decisions between them."""
        parts = self._parts
        # Tests that begin before a simulated clock is set back would leave out all that follows.
        more = await self._threads.run(has_begun, parts.clock)
        while more:
            catalog, now = parts.engine.setup.compiled.catalog, parts.clock()
            more = await self._threads.run(parts.guardrails.count, catalog, now)
            await self.refresh()
            if more:
                await asyncio.sleep(pause_s)

    async def refresh(self) -> None:
        """Offer no action any more that is switched off, and those again that were lifted."""
        parts, before = self._parts, self._parts.guardrails.stops
        stops = await self._threads.run(parts.guardrails.refresh)
        monitoring.set_stops(before, stops)
        # On the event loop, as with all changes of the setup.
        parts.engine.setup = parts.engine.setup.with_stops(stops)

    async def measure(self) -> None:
        """Tell the evidence of each guardrail, and what the audit of the surrogate has found.

        Warn if the policy as a whole exceeds a guardrail.
        """
        parts = self._parts
        catalog = parts.engine.setup.compiled.catalog
        before, found = self._measured, await self._threads.run(parts.guardrails.look, catalog)
        monitoring.set_e_values(before, found)
        self._measured = found
        read = partial(self._threads.run, parts.ledger.read, read_surrogate_view)
        audit = await read() if catalog.pays_effects else None
        monitoring.set_surrogate(self._audited, audit)
        self._audited = audit
