"""The border of the service: types in, types out, errors translated once.

`bentoml serve serving.service:NextBestAction`, or `nba serve`, which says what to try.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
from bentoml.exceptions import BentoMLException
from pydantic import ValidationError
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from threadpoolctl import threadpool_limits

from features.errors import (
    CustomerForgotten,
    DecisionConflict,
    DecisionUnknown,
    IdentityUnknown,
    InvalidData,
    InvalidRequest,
    LedgerDown,
    NbaError,
    NotRepeatable,
    NotVisible,
)
from features.settings import load_settings
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
    ActivateRequest,
    DecideRequest,
    Decision,
    ExplainAnswer,
    ExplainRequest,
    ReplayAnswer,
    ReplayRequest,
)
from serving.contract.events import EventsAnswer, EventsRequest, OutcomeAnswer, OutcomeRequest
from serving.contract.lift import LiftRequest, LiftView
from serving.server import monitoring
from serving.server.middleware import ErrorMiddleware, QuietRefusals, tell
from serving.server.openapi import describe, refuses

if TYPE_CHECKING:
    from serving.server.background import BackgroundTasks

settings = load_settings()

_STATUS: dict[type[NbaError], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    InvalidData: HTTPStatus.BAD_REQUEST,
    IdentityUnknown: HTTPStatus.NOT_FOUND,
    CustomerForgotten: HTTPStatus.GONE,
    NotVisible: HTTPStatus.SERVICE_UNAVAILABLE,
    LedgerDown: HTTPStatus.SERVICE_UNAVAILABLE,
    DecisionUnknown: HTTPStatus.NOT_FOUND,
    DecisionConflict: HTTPStatus.CONFLICT,
    NotRepeatable: HTTPStatus.CONFLICT,
}


@contextmanager
def _errors_as_http() -> Iterator[None]:
    """Turn our errors into BentoML's, which keeps the text of 4xx and hides that of 5xx."""
    try:
        yield
    except NbaError as error:
        status = next(
            (code for kind, code in _STATUS.items() if isinstance(error, kind)),
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            tell(str(error))
        raise BentoMLException(str(error), error_code=status) from error
    except ValidationError as error:  # ours, not the caller's: BentoML would make a 400 of it
        raise RuntimeError("an answer of ours breaks its own type") from error


@bentoml.service(
    name="next_best_action",
    workers=settings.workers,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},
)
class NextBestAction:
    """Decides for one customer while they wait, and learns from what followed."""

    def __init__(self) -> None:
        # These imports take seconds, which only a worker process needs to spend.
        from serving.server.background import BackgroundTasks
        from serving.server.components import Components
        from serving.server.worker import Worker

        # OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
        threadpool_limits(limits=1, user_api="blas")
        self.components = Components(settings)
        self.worker = Worker(self.components)
        self.background = _readiness.background = BackgroundTasks(self.components, settings)

    @bentoml.on_startup
    async def start(self) -> None:
        """Start the background tasks, and keep the garbage collector away from what is loaded."""
        for handler in logging.getLogger("bentoml").handlers + logging.getLogger().handlers:
            handler.addFilter(QuietRefusals())
        self.background.start()
        # The collector would walk all imported modules, for 100 ms, in the middle of a request.
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Stop the background tasks and the learner, and finish what is being written."""
        await self.background.stop()
        self.components.close()

    @bentoml.api(route="/v1/decide")
    @refuses(InvalidRequest, InvalidData, CustomerForgotten, DecisionConflict)
    async def decide(self, request: DecideRequest, /) -> Decision:
        """Which one action, or which few, serve this customer best now; why, with what chance."""
        with _errors_as_http():
            decision = await self.worker.decide(request)
        monitoring.count_decision(decision, request.channel)
        # The very text that was logged: BentoML sends what is a response already as it is.
        sent: Any = Response(decision.as_json, media_type="application/json")
        return sent  # type: ignore[no-any-return]

    @bentoml.api(route="/v1/activate")
    @refuses(DecisionUnknown, DecisionConflict)
    async def activate(self, request: ActivateRequest, /) -> ActivateAnswer:
        """A decision made with `"activate": false` is about to be shown: what still may be."""
        with _errors_as_http():
            return await self.worker.activate(request)

    @bentoml.api(route="/v1/explain")
    @refuses(DecisionUnknown, NotRepeatable)
    async def explain(self, request: ExplainRequest, /) -> ExplainAnswer:
        """A past decision with all that led to it, as it was then."""
        with _errors_as_http():
            return await self.worker.explain(request)

    @bentoml.api(route="/v1/replay")
    @refuses(DecisionUnknown)
    async def replay(self, request: ReplayRequest, /) -> ReplayAnswer:
        """Decides once more from the record: is the answer the same, and if not, why."""
        with _errors_as_http():
            return await self.worker.replay(request)

    @bentoml.api(route="/v1/lift")
    async def lift(self, request: LiftRequest, /) -> LiftView:
        """What the policy earns more than the control group, with its interval."""
        with _errors_as_http():
            return await self.worker.lift(request)

    @bentoml.api(route="/v1/outcomes")
    @refuses(InvalidRequest, DecisionUnknown, DecisionConflict)
    async def outcomes(self, request: OutcomeRequest, /) -> OutcomeAnswer:
        """What followed a decision. May come late, or twice, or be taken back."""
        with _errors_as_http():
            answer = await self.worker.outcomes(request)
        monitoring.OUTCOMES.labels(request.outcome, answer.status).inc()
        return answer

    @bentoml.api(route="/v1/events")
    @refuses(NotVisible, bodies={HTTPStatus.BAD_REQUEST: EventsAnswer})
    async def events(self, request: EventsRequest, /, ctx: bentoml.Context) -> EventsAnswer:
        """What happened. Each event is taken or rejected by itself; the same again is no harm."""
        with _errors_as_http():
            taken = await self.worker.events(request)
            answer = EventsAnswer.model_validate(taken, from_attributes=True)
        if not taken.accepted and not taken.duplicates:
            ctx.response.status_code = HTTPStatus.BAD_REQUEST
            answer.error = taken.rejected[0].error
        monitoring.count_events(taken)
        return answer

    @bentoml.api(route="/v1/link")
    @refuses(InvalidData, CustomerForgotten, NotVisible)
    async def link(self, request: LinkRequest, /) -> LinkAnswer:
        """Two keys are one person: their histories are joined, features and counters restated."""
        with _errors_as_http():
            return await self.worker.link(request)

    @bentoml.api(route="/v1/unlink")
    @refuses(InvalidData, IdentityUnknown, NotVisible)
    async def unlink(self, request: LinkRequest, /) -> LinkAnswer:
        """Two keys are not one person after all: each side gets back what happened under it."""
        with _errors_as_http():
            return await self.worker.unlink(request)

    @bentoml.api(route="/v1/customer")
    @refuses(InvalidRequest, InvalidData, CustomerForgotten)
    async def customer(self, request: CustomerRequest, /) -> CustomerView:
        """One customer as a whole: who, in the middle of what, with which past and predictions."""
        with _errors_as_http():
            return await self.worker.customer(request)

    @bentoml.api(route="/v1/forget")
    @refuses(InvalidData, CustomerForgotten, NotVisible)
    async def forget(self, request: ForgetRequest, /) -> ForgetAnswer:
        """Erase a customer everywhere; they are refused until that is lifted."""
        with _errors_as_http():
            return await self.worker.forget(request)

    if settings.noop:

        @bentoml.api(route="/v1/noop")
        async def noop(self, request: DecideRequest, /) -> dict[str, Any]:
            """What the server itself costs: the measure that `make bench` divides by."""
            return {}


class _Readiness:
    """Answers `/readyz`: 503 until the service has started, then what the background tasks find."""

    background: BackgroundTasks | None = None

    def __call__(self) -> tuple[int, dict[str, Any]]:
        if self.background is None:
            return 503, {"status": "starting", "degraded": [], "models": {}}
        return self.background.readiness()


_readiness = _Readiness()


@cache
def _document() -> dict[str, Any]:
    return describe(NextBestAction, _STATUS)


CONSOLE = Path(__file__).with_name("console")
NextBestAction.mount_asgi_app(  # type: ignore[attr-defined]
    StaticFiles(directory=CONSOLE, html=True), path="/console", name="console"
)
NextBestAction.add_asgi_middleware(  # type: ignore[attr-defined]
    ErrorMiddleware, readiness=_readiness, document=_document
)
