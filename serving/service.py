"""The routes of the service: typed requests and answers, and the HTTP status of each error.

Start it with `bentoml serve serving.service:NextBestAction`, or with `nba serve`, which prints a
request to try once the server is ready.
"""

from __future__ import annotations

import gc
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from features import errors
from features.private_files import protect_process
from features.settings import load_settings
from serving.access.browsers import BrowserMiddleware
from serving.access.connections import bound_connections
from serving.access.gate import AccessControl, AccessMiddleware
from serving.access.load_shedding import LoadShedding
from serving.access.scopes import KeyScope, requires, scopes_of
from serving.access.traffic_metrics import TrafficMetrics
from serving.contract import customers, decisions
from serving.contract import guardrails as guards
from serving.contract.clock import ClockAnswer, ClockRequest
from serving.contract.events import EventsAnswer, EventsRequest, OutcomeAnswer, OutcomeRequest
from serving.contract.journeys import JourneysAnswer, JourneysRequest
from serving.contract.lift import LiftRequest, LiftView
from serving.contract.merge_candidates import MergeCandidatesAnswer, MergeCandidatesRequest
from serving.contract.statuses import STATUSES
from serving.server import monitoring
from serving.server.middleware import ErrorMiddleware, QuietRefusals, ReadyzAnswer
from serving.server.openapi import client_schema, describe, errors_as_http, refuses

protect_process()
settings = load_settings()


@bentoml.service(
    name="next_best_action",
    workers=settings.workers,
    traffic={"timeout": 10},
    metrics={"enabled": False},  # ours have fewer labels
    logging={"access": {"enabled": False}},
    http={"host": settings.host},  # of `bentoml serve` without --host
)
class NextBestAction:
    """Decides for one customer while they wait, and learns from what followed."""

    def __init__(self) -> None:
        # These imports take seconds, which only a worker process needs to spend.
        from serving.server.background import BackgroundTasks
        from serving.server.components import Components
        from serving.server.worker import Worker, share_interpreter

        share_interpreter()
        self.components = Components(settings)
        self.worker = Worker(self.components)
        _access.open(self.components.ledger)
        self.background = BackgroundTasks(self.components, settings, _access)
        _readiness.started = self.background.readiness

    @bentoml.on_startup
    async def start(self) -> None:
        """Start the background tasks, and keep the garbage collector away from what is loaded."""
        QuietRefusals.install()
        self.background.start()
        # The collector would walk all imported modules, for 100 ms, in the middle of a request.
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Stop the background tasks and the learner, and finish what is being written."""
        await self.background.stop(self.worker.close)
        self.components.close()

    @bentoml.api(route="/v1/decide")
    @requires(KeyScope.DECIDE)
    @refuses(
        errors.InvalidRequest, errors.InvalidData, errors.CustomerForgotten, errors.DecisionConflict
    )
    async def decide(self, request: decisions.DecideRequest, /) -> decisions.Decision:
        """Choose the action, or the few actions, that serve this customer best now.

        The answer gives reasons, and the probability with which each action was chosen.
        """
        with errors_as_http(STATUSES):
            decision = await self.worker.decide(request)
        monitoring.count_decision(decision, request.channel)
        # The text that was logged: BentoML sends a response unchanged.
        sent: Any = Response(decision.as_json, media_type="application/json")
        return sent  # type: ignore[no-any-return]

    @bentoml.api(route="/v1/activate")
    @requires(KeyScope.DECIDE)
    @refuses(errors.DecisionUnknown, errors.DecisionConflict)
    async def activate(self, request: decisions.ActivateRequest, /) -> decisions.ActivateAnswer:
        """Activate a decision that was made with `"activate": false` and is shown now.

        The answer names the actions that may still be shown; the others are withdrawn.
        """
        with errors_as_http(STATUSES):
            return await self.worker.activate(request)

    @bentoml.api(route="/v1/explain")
    @requires(KeyScope.READ)
    @refuses(errors.DecisionUnknown, errors.NotRepeatable)
    async def explain(self, request: decisions.ExplainRequest, /) -> decisions.ExplainAnswer:
        """Return a past decision with the features, predictions and rules that led to it."""
        with errors_as_http(STATUSES):
            return await self.worker.explain(request)

    @bentoml.api(route="/v1/replay")
    @requires(KeyScope.READ)
    @refuses(errors.DecisionUnknown, errors.NotRepeatable)
    async def replay(self, request: decisions.ReplayRequest, /) -> decisions.ReplayAnswer:
        """Decide once more from the record; say if the answer is the same, and if not, why."""
        with errors_as_http(STATUSES):
            return await self.worker.replay(request)

    @bentoml.api(route="/v1/lift")
    @requires(KeyScope.READ)
    async def lift(self, request: LiftRequest, /) -> LiftView:
        """Estimate what the policy earns more than the other arms, with intervals."""
        with errors_as_http(STATUSES):
            return await self.worker.lift(request)

    @bentoml.api(route="/v1/guardrails")
    @requires(KeyScope.READ)
    async def guardrails(self, request: guards.GuardrailsRequest, /) -> guards.GuardrailsView:
        """Return the guardrails with their tests, and the actions that they have switched off."""
        with errors_as_http(STATUSES):
            return await self.worker.guardrails(request)

    @bentoml.api(route="/v1/guardrails/lift")
    @requires(KeyScope.ADMIN)
    @refuses(errors.InvalidRequest)
    async def lift_stop(self, request: guards.LiftStopRequest, /) -> guards.LiftStopAnswer:
        """Offer an action again that a guardrail has switched off; its test begins anew."""
        with errors_as_http(STATUSES):
            return await self.worker.lift_stop(request)

    @bentoml.api(route="/v1/journeys")
    @requires(KeyScope.READ)
    @refuses(errors.InvalidRequest, errors.NotCounted)
    async def journeys(self, request: JourneysRequest, /) -> JourneysAnswer:
        """Count how customers really went: a map, a funnel, ways, times, promises, or a list."""
        with errors_as_http(STATUSES):
            return await self.worker.journeys(request)

    @bentoml.api(route="/v1/outcomes")
    @requires(KeyScope.WRITE)
    @refuses(errors.InvalidRequest, errors.DecisionUnknown, errors.DecisionConflict)
    async def outcomes(self, request: OutcomeRequest, /) -> OutcomeAnswer:
        """Record what followed a decision. It may come late, or twice, or be taken back."""
        with errors_as_http(STATUSES):
            answer = await self.worker.outcomes(request)
        monitoring.OUTCOMES.labels(request.outcome, answer.status).inc()
        return answer

    @bentoml.api(route="/v1/events")
    @requires(KeyScope.WRITE)
    @refuses(errors.NotVisible, bodies={HTTPStatus.BAD_REQUEST: EventsAnswer})
    async def events(self, request: EventsRequest, /, ctx: bentoml.Context) -> EventsAnswer:
        """Record events. Each is accepted or rejected by itself; a repeated one adds no event.

        The keys of an event are linked. A device goes to the customer who is named with it.
        """
        with errors_as_http(STATUSES):
            result = await self.worker.events(request)
            answer = EventsAnswer.model_validate(result, from_attributes=True)
        if not result.accepted and not result.duplicates:
            ctx.response.status_code = HTTPStatus.BAD_REQUEST
            answer.error = result.rejected[0].error
        monitoring.count_events(result)
        return answer

    @bentoml.api(route="/v1/link")
    @requires(KeyScope.ADMIN)
    @refuses(errors.InvalidData, errors.CustomerForgotten, errors.NotVisible)
    async def link(self, request: customers.LinkRequest, /) -> customers.LinkAnswer:
        """Link two keys of one person: histories are merged; a device goes to the customer."""
        with errors_as_http(STATUSES):
            return await self.worker.link(request)

    @bentoml.api(route="/v1/unlink")
    @requires(KeyScope.ADMIN)
    @refuses(errors.InvalidData, errors.IdentityUnknown, errors.NotVisible)
    async def unlink(self, request: customers.LinkRequest, /) -> customers.LinkAnswer:
        """Undo a link: each customer gets back the events of their own identifiers."""
        with errors_as_http(STATUSES):
            return await self.worker.unlink(request)

    @bentoml.api(route="/v1/attributes")
    @requires(KeyScope.WRITE)
    @refuses(errors.InvalidData, errors.CustomerForgotten, errors.NotVisible)
    async def attributes(
        self, request: customers.AttributesRequest, /
    ) -> customers.AttributesAnswer:
        """Bring attributes of a customer up to date; the next decision reads them."""
        with errors_as_http(STATUSES):
            return await self.worker.attributes(request)

    @bentoml.api(route="/v1/merge_candidates")
    @requires(KeyScope.ADMIN)
    @refuses(
        errors.InvalidRequest,
        errors.InvalidData,
        errors.IdentityUnknown,
        errors.AlreadyDecided,
        errors.NotVisible,
    )
    async def merge_candidates(self, request: MergeCandidatesRequest, /) -> MergeCandidatesAnswer:
        """List pairs of customers who may be one person, or confirm or refuse one of them."""
        with errors_as_http(STATUSES):
            return await self.worker.merge_candidates(request)

    @bentoml.api(route="/v1/clock")
    @requires(KeyScope.ADMIN)
    @refuses(errors.InvalidRequest)
    async def clock(self, request: ClockRequest, /) -> ClockAnswer:
        """Set the clock of a server that was started with `NBA_CLOCK=simulated`; forward only."""
        with errors_as_http(STATUSES):
            return await self.worker.clock(request)

    @bentoml.api(route="/v1/customer")
    @requires(KeyScope.READ)
    @refuses(errors.InvalidRequest, errors.InvalidData, errors.CustomerForgotten)
    async def customer(self, request: customers.CustomerRequest, /) -> customers.CustomerView:
        """Return one customer: identifiers, attributes, journeys, timeline and predictions."""
        with errors_as_http(STATUSES):
            return await self.worker.customer(request)

    @bentoml.api(route="/v1/forget")
    @requires(KeyScope.PRIVACY)
    @refuses(
        *(errors.InvalidData, errors.IdentityUnknown, errors.CustomerForgotten),
        bodies={HTTPStatus.CONFLICT: customers.UnconfirmedAnswer},
    )
    async def forget(self, request: customers.ForgetRequest, /) -> customers.ForgetAnswer:
        """Erase a customer everywhere, and refuse them until they are readmitted.

        Files are cleaned in the background; ask with the `erasure_id` whether they are done.
        """
        with errors_as_http(STATUSES):
            answer = await self.worker.forget(request)
        if isinstance(answer, customers.ForgetAnswer):
            return answer
        sent: Any = Response(answer.model_dump_json(), 409, media_type="application/json")
        return sent  # type: ignore[no-any-return]

    if settings.noop:

        @bentoml.api(route="/v1/noop")
        @requires(KeyScope.DECIDE)
        async def noop(self, request: decisions.DecideRequest, /) -> dict[str, Any]:
            """Answer nothing: the server's own cost, which `make bench-decide` divides by."""
            return {}


_readiness = ReadyzAnswer()
_access = AccessControl(
    settings.origins,
    settings.requests_per_s / settings.workers,
    this_machine_only=settings.clock == "simulated",
)


# Made at the first request of each: nobody may ever ask.
_DOCUMENTS = {
    "/docs.json": cache(lambda: describe(NextBestAction, STATUSES)),
    "/schema.json": cache(lambda: client_schema(NextBestAction)),
}
# The looks of pictures lie beside the pictures: a report and a notebook have them too.
_PAGES = StaticFiles(
    directory=Path(__file__).with_name("console"),
    packages=[("features.analytics.pictures", "styles")],
    html=True,
)
NextBestAction.mount_asgi_app(_PAGES, "/console", "console")  # type: ignore[attr-defined]
_scopes, _shedding = scopes_of(NextBestAction), LoadShedding()
bound_connections(_shedding, _scopes, settings.origins)
# The first one is the outermost.
for middleware, given in (
    (TrafficMetrics, {"paths": _scopes}),
    (BrowserMiddleware, {"origins": settings.origins}),
    (AccessMiddleware, {"control": _access, "scopes": _scopes}),
    (ErrorMiddleware, {"readiness": _readiness, "documents": _DOCUMENTS, "shedding": _shedding}),
):
    NextBestAction.add_asgi_middleware(middleware, **given)  # type: ignore[attr-defined]
