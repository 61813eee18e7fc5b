"""Request and answer types of `/v1/merge_candidates`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from features.journeys.events import UtcTime
from serving.contract.requests import Cause, Identifier, Request

Shown = Literal["open", "merged", "confirmed", "refused"]
_FILTERS, _DECIDED = {"status", "limit", "after"}, ("left", "right", "decision", "cause")


class MergeCandidatesRequest(Request):
    """A page of the candidates of one status, or the decision of one candidate.

    A decision has the four fields ``left``, ``right``, ``decision`` and ``cause``, and no other.
    """

    status: Shown = Field("open", examples=["open"])
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]+$")] | None = (
        None  # `next` of the previous page
    )
    left: Identifier | None = None
    right: Identifier | None = None
    decision: Literal["confirm", "refuse"] | None = None
    cause: Cause | None = None

    @model_validator(mode="after")
    def _list_or_decision(self) -> Self:
        sent = [name for name in _DECIDED if getattr(self, name) is not None]
        if sent and len(sent) < len(_DECIDED):
            missing = [name for name in _DECIDED if name not in sent]
            raise ValueError(f"a decision also needs {', '.join(missing)}; send all four fields")
        if sent and (filters := sorted(_FILTERS & self.model_fields_set)):
            raise ValueError(f"a decision has no {', '.join(filters)}; leave them out")
        return self


class MergeCandidateView(BaseModel):
    """Two keys that may be one person: both used the identifier ``via``.

    ``reason`` is device (both were seen on it), personal (an e-mail address or the like of both) or
    size (the merged customer would have too many keys). ``customers`` are the customers of the two
    keys now: one if they are merged.
    """

    left: str
    right: str
    via: str
    reason: Literal["device", "personal", "size"]
    status: Shown
    customers: list[str]
    found_at: UtcTime
    decided_at: UtcTime | None
    decided_cause: str | None


class MergeCandidatesAnswer(BaseModel):
    """A page of candidates, the newest first, or the one that was decided.

    ``next`` is ``after`` of the next page; null at the last page.
    """

    candidates: list[MergeCandidateView]
    next: str | None = None
