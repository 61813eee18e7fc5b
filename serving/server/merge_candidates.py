"""Lists merge candidates for people, and takes their decisions."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import sqlalchemy as sa

from features.customers.merge_candidates import (
    StoredCandidate,
    find_candidate,
    list_candidates,
)
from features.customers.merge_decisions import Verdict, decide_candidate
from features.identity.keys import KeyNormalizer
from features.ingest.live_events import Ingest
from features.ledger.ledger import Ledger
from serving.contract.merge_candidates import (
    MergeCandidatesAnswer,
    MergeCandidatesRequest,
    MergeCandidateView,
)


def view_candidates(request: MergeCandidatesRequest, ledger: Ledger) -> MergeCandidatesAnswer:
    """Read a page of the candidates of one status.

    Raises
    ------
    InvalidRequest
        If ``after`` is not what an earlier page gave.
    """
    page = partial(list_candidates, status=request.status, limit=request.limit, after=request.after)
    found, following = ledger.read(page)
    return MergeCandidatesAnswer(candidates=[_view(one) for one in found], next=following)


async def decide_candidates(
    request: MergeCandidatesRequest,
    ingest: Ingest,
    ledger: Ledger,
    normalizer: KeyNormalizer,
    now: datetime,
) -> MergeCandidatesAnswer:
    """Store the decision of a candidate; link its two keys if it is confirmed.

    Raises
    ------
    InvalidData
        If a key cannot be used.
    IdentityUnknown
        If the two keys are no candidate.
    AlreadyDecided
        If the candidate was decided otherwise.
    NotVisible
        If the keys are linked, but the feature store is down.
    """
    sent = {"left": str(request.left), "right": str(request.right)}
    left, right = sorted(normalizer.each([key], field)[0] for field, key in sent.items())
    pair, cause = (left, right), str(request.cause)
    verdict: Verdict = "confirmed" if request.decision == "confirm" else "refused"

    def decide(connection: sa.Connection) -> None:
        decide_candidate(connection, normalizer, pair, verdict, cause, now)

    known = await ledger.read_async(lambda connection: find_candidate(connection, pair))
    if known.status != verdict:
        if verdict == "confirmed":
            await ingest.link(pair, cause, now, before=decide)
        else:
            await ledger.write(decide)
        known = await ledger.read_async(lambda connection: find_candidate(connection, pair))
    return MergeCandidatesAnswer(candidates=[_view(known)])


def _view(found: StoredCandidate) -> MergeCandidateView:
    owners = dict.fromkeys((found.left_customer, found.right_customer))
    return MergeCandidateView(
        left=found.left,
        right=found.right,
        via=found.via,
        reason=found.reason,
        status=found.status,
        customers=list(owners),
        found_at=found.found_at,
        decided_at=found.decided_at,
        decided_cause=found.decided_cause,
    )
