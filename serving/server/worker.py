"""Answers the routes of `serving.service` in one server process: one method for each route.

These methods stand apart from the routes because the imports here (pandas, SciPy, LightGBM) take
seconds. The process that starts the workers reads the routes only, and does not wait for them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial

from threadpoolctl import threadpool_limits

from features.business.catalog import Catalog
from features.clock import monotonic_s
from features.errors import NotVisible
from features.ingest.ingest_result import IngestResult
from features.rewards.customer_values import KeptValues
from serving.audit.lift.view import view_lift
from serving.audit.replay import Replay
from serving.contract.clock import ClockAnswer, ClockRequest
from serving.contract.customers import (
    AttributesAnswer,
    AttributesRequest,
    CustomerRequest,
    CustomerView,
    ForgetAnswer,
    ForgetRequest,
    LinkAnswer,
    LinkRequest,
    UnconfirmedAnswer,
)
from serving.contract.decisions import (
    ActivateAnswer,
    ActivateRequest,
    DecideRequest,
    Decision,
    ExplainAnswer,
    ExplainRequest,
    ReplayAnswer,
    ReplayRequest,
)
from serving.contract.events import EventsRequest, OutcomeAnswer, OutcomeRequest
from serving.contract.guardrails import (
    GuardrailsRequest,
    GuardrailsView,
    LiftStopAnswer,
    LiftStopRequest,
)
from serving.contract.journeys import JourneysAnswer, JourneysRequest
from serving.contract.lift import LiftRequest, LiftView
from serving.contract.merge_candidates import MergeCandidatesAnswer, MergeCandidatesRequest
from serving.decide.activation import activate
from serving.decide.outcomes import record_outcome
from serving.guardrails.stops import lift_stop
from serving.guardrails.views import view_guardrails
from serving.journeys.answer import WITHIN_S, look_at_journeys
from serving.server.components import Components
from serving.server.customer import view_customer
from serving.server.forget import forget
from serving.server.links import change_link
from serving.server.merge_candidates import decide_candidates, view_candidates
from serving.server.settling.clock import move_clock
from serving.server.work_pools import WorkPool

# A thread that computes keeps the interpreter this long before another one gets it. A decision
# gives it up at each query. Beside a thread that computes, decisions took (p50 and p99, on a busy
# machine, where they take 7 and 14 ms alone) 88 and 190 ms with Python's 5 ms; 31 and 60 ms with
# 1 ms; 24 and 49 ms with 0.5 ms; 21 and 57 ms with 0.2 ms. The thread was 16 % slower with 0.5 ms.
SWITCH_S = 0.0005


def share_interpreter() -> None:
    """Keep threads that compute from holding up the event loop, in this process."""
    # OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
    threadpool_limits(limits=1, user_api="blas")
    sys.setswitchinterval(SWITCH_S)


class Worker:
    """Hands each request, with the parts it needs and the time, to the function that answers it.

    Slow work runs in threads, a pool for each kind of it.
    """

    def __init__(self, components: Components) -> None:
        self._parts = components
        self._reads = WorkPool("a customer or a past decision", threads=2, most_waiting=32)
        self._lift = WorkPool("lift", threads=1, most_waiting=8)
        self._journeys = WorkPool("journeys", threads=1, most_waiting=8)
        self._kept = KeptValues()  # of lift
        self._erasures = WorkPool("erasure", threads=1, most_waiting=32)

    def close(self) -> None:
        """Wait for the slow work that runs, and drop what waits."""
        for pool in (self._reads, self._lift, self._journeys, self._erasures):
            pool.close()

    async def decide(self, request: DecideRequest) -> Decision:
        """Choose and log."""
        return await self._parts.engine.decide(request, self._parts.clock())

    async def activate(self, request: ActivateRequest) -> ActivateAnswer:
        """Withdraw the actions of an earlier decision that may not be shown any more."""
        return await activate(self._parts.engine, request.decision_id, self._parts.clock())

    async def explain(self, request: ExplainRequest) -> ExplainAnswer:
        """Return a past decision with the numbers and rules that led to it."""
        return await self._reads.run(self._replay().explain, request.decision_id)

    async def replay(self, request: ReplayRequest) -> ReplayAnswer:
        """Decide once more from the record."""
        replay = self._replay().replay
        return await self._reads.run(replay, request.decision_id, request.catalog)

    async def lift(self, request: LiftRequest) -> LiftView:
        """Compare the customers of the arms policy, random and nobody."""
        catalog, domain, ledger = self._catalog, self._parts.engine.domain, self._parts.ledger
        look = partial(
            view_lift,
            request,
            ledger,
            catalog,
            domain,
            self._parts.clock(),
            lead=False,
            kept=self._kept,
            warnings=self._parts.guardrails.remarks,
        )
        return await self._lift.share(request.model_dump_json(), look)

    async def guardrails(self, request: GuardrailsRequest) -> GuardrailsView:
        """Read the guardrails, their tests and the actions that they have switched off."""
        parts, catalog = self._parts, self._catalog
        look = partial(view_guardrails, catalog=catalog, domain=parts.engine.domain)
        also_lifted = request.stops == "all"
        return await self._reads.run(
            parts.ledger.read, lambda connection: look(connection, also_lifted)
        )

    async def lift_stop(self, request: LiftStopRequest) -> LiftStopAnswer:
        """Offer an action again that a guardrail has switched off."""
        parts = self._parts
        stop = await self._reads.run(lift_stop, parts.ledger, request, parts.clock())
        stops = await self._reads.run(parts.guardrails.refresh)
        parts.engine.setup = parts.engine.setup.with_stops(stops)
        return LiftStopAnswer(stop=stop)

    async def journeys(self, request: JourneysRequest) -> JourneysAnswer:
        """Count journeys, or list those behind a number."""
        parts = self._parts
        look = partial(look_at_journeys, request, parts.ledger, parts.engine.domain, parts.home)
        ends_s = monotonic_s() + WITHIN_S
        zone = self._catalog.clock.zone
        return await self._journeys.share(
            request.model_dump_json(), look, self._parts.clock(), zone, ends_s
        )

    async def outcomes(self, request: OutcomeRequest) -> OutcomeAnswer:
        """Append an outcome to the ledger."""
        return await record_outcome(request, self._parts.ledger, self._catalog, self._parts.clock())

    async def events(self, request: EventsRequest) -> IngestResult:
        """Append events to the ledger, and update the online features."""
        return await self._parts.ingest.ingest(request.events, self._parts.clock())

    async def link(self, request: LinkRequest) -> LinkAnswer:
        """Merge the customers of two keys, or give a device to a customer."""
        return await self._change_link(request, undo=False)

    async def unlink(self, request: LinkRequest) -> LinkAnswer:
        """Undo the link of two keys."""
        return await self._change_link(request, undo=True)

    async def attributes(self, request: AttributesRequest) -> AttributesAnswer:
        """Change attributes in the ledger, and update the online features."""
        done = await self._parts.attributes.change(
            request.customer_id, request.attributes, request.as_of, self._parts.clock()
        )
        return AttributesAnswer(**done._asdict())

    async def merge_candidates(self, request: MergeCandidatesRequest) -> MergeCandidatesAnswer:
        """List pairs of customers who may be one person, or decide one of them."""
        parts = self._parts
        if request.decision is None:
            return await self._reads.run(view_candidates, request, parts.ledger)
        normalizer = parts.engine.normalizer
        return await decide_candidates(
            request, parts.ingest, parts.ledger, normalizer, self._parts.clock()
        )

    async def customer(self, request: CustomerRequest) -> CustomerView:
        """Collect what is known of one customer."""
        return await self._reads.run(
            view_customer, request, self._parts.engine, self._parts.clock()
        )

    async def clock(self, request: ClockRequest) -> ClockAnswer:
        """Set the simulated clock."""
        return await move_clock(request, self._parts.ledger, self._parts.clock)

    async def forget(self, request: ForgetRequest) -> ForgetAnswer | UnconfirmedAnswer:
        """Erase a customer, and update the online features of their account."""
        now, parts = self._parts.clock(), self._parts
        answer = await self._erasures.run(
            forget, request, parts.erasure, parts.engine.normalizer, parts.registry, now
        )
        with suppress(NotVisible):  # the background task tries again, and /readyz names the problem
            await parts.ingest.publisher.show_backlog(now)
        return answer

    @property
    def _catalog(self) -> Catalog:
        return self._parts.engine.setup.compiled.catalog

    def _replay(self) -> Replay:
        return Replay(self._parts.ledger, self._parts.archive, self._catalog)

    async def _change_link(self, request: LinkRequest, undo: bool) -> LinkAnswer:
        parts, normalizer = self._parts, self._parts.engine.normalizer
        return await change_link(
            request, undo, parts.ingest, parts.ledger, normalizer, self._parts.clock()
        )
