"""What a worker does behind the border: one method for each route of `serving/service.py`.

Apart from there because this room imports pandas, SciPy and LightGBM, which takes seconds: the
process that starts the workers reads the routes only, and need not wait for what it never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from threadpoolctl import threadpool_limits

from features.clock import utc_now
from features.customers.identity import resolve
from features.ingest.live_events import IngestResult
from features.settings import Settings
from serving.audit.lift import view_lift
from serving.audit.replay import Replay
from serving.contract.customers import (
    CustomerRequest,
    CustomerView,
    ForgetAnswer,
    ForgetRequest,
    LinkAnswer,
    LinkRequest,
)
from serving.contract.decisions import (
    ActivateAnswer,
    DecideRequest,
    Decision,
    ExplainAnswer,
    ExplainRequest,
    ReplayAnswer,
    ReplayRequest,
)
from serving.contract.events import EventsRequest, OutcomeAnswer, OutcomeRequest
from serving.contract.lift import LiftRequest, LiftView
from serving.decide.activation import activate
from serving.decide.outcomes import record_outcome
from serving.server.background import BackgroundTasks
from serving.server.customer import view_customer
from serving.server.forget import forget


class Worker:
    """Opens what the routes need; see `BackgroundTasks` for what it raises."""

    def __init__(self, settings: Settings) -> None:
        # OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
        threadpool_limits(limits=1, user_api="blas")
        self._upkeep = upkeep = BackgroundTasks(settings)
        self._ledger, self._registry, self._archive = upkeep.ledger, upkeep.registry, upkeep.archive
        self._engine, self._ingest, self._erasure = upkeep.engine, upkeep.ingest, upkeep.erasure

    def begin(self) -> None:
        """Begin what goes on beside the requests; from within the event loop."""
        self._upkeep.begin()

    async def end(self) -> None:
        """Stop the learner and finish what is being written."""
        await self._upkeep.end()

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """What `/readyz` tells: a status and a body."""
        return self._upkeep.readiness()

    async def decide(self, request: DecideRequest) -> Decision:
        """Choose and log."""
        return await self._engine.decide(request, utc_now())

    async def activate(self, decision_id: str) -> ActivateAnswer:
        """What of a decision may still be shown."""
        return await activate(self._engine, decision_id, utc_now())

    async def explain(self, request: ExplainRequest) -> ExplainAnswer:
        """All that led to a decision."""
        return await asyncio.to_thread(self._replay().explain, request.decision_id)

    async def replay(self, request: ReplayRequest) -> ReplayAnswer:
        """Decide once more from the record."""
        replay = self._replay().replay
        return await asyncio.to_thread(replay, request.decision_id, request.catalog)

    async def lift(self, request: LiftRequest) -> LiftView:
        """What the policy earns more than the control group."""
        catalog, currency = self._engine.setup.compiled.catalog, self._engine.domain.currency
        now = utc_now()
        return await asyncio.to_thread(view_lift, request, self._ledger, catalog, currency, now)

    async def outcomes(self, request: OutcomeRequest) -> OutcomeAnswer:
        """Keep what followed a decision."""
        catalog = self._engine.setup.compiled.catalog
        return await record_outcome(request, self._ledger, catalog, utc_now())

    async def events(self, request: EventsRequest) -> IngestResult:
        """Keep what happened, and make it visible."""
        return await self._ingest.take(request.events, utc_now())

    async def link(self, request: LinkRequest) -> LinkAnswer:
        """Join two keys."""
        changed = await self._ingest.link(request.keys, request.cause, utc_now())
        return LinkAnswer(changed=changed, customers=self._behind(request.keys))

    async def unlink(self, request: LinkRequest) -> LinkAnswer:
        """Part two keys."""
        changed = await self._ingest.unlink(request.keys, request.cause, utc_now())
        return LinkAnswer(changed=changed, customers=self._behind(request.keys))

    async def customer(self, request: CustomerRequest) -> CustomerView:
        """View one customer as a whole."""
        return await asyncio.to_thread(view_customer, request, self._engine, utc_now())

    async def forget(self, request: ForgetRequest) -> ForgetAnswer:
        """Erase a customer everywhere, and show the others as they are without them."""
        now, spelling = utc_now(), self._engine.spelling
        answer = await asyncio.to_thread(
            forget, request, self._erasure, spelling, self._registry, now
        )
        await self._ingest.show(now)
        return answer

    def _replay(self) -> Replay:
        return Replay(self._ledger, self._archive, self._engine.setup.compiled.catalog)

    def _behind(self, keys: Sequence[str]) -> list[str]:
        kept = self._engine.spelling.each(keys)
        return self._ledger.read(lambda c: list(dict.fromkeys(resolve(c, [key]) for key in kept)))
