"""The steps of `nba` that decide who is one person, and that erase customers."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from features.analytics.upkeep.forgetting import forgetting
from features.clock import utc_now
from features.errors import InvalidSetting
from features.identity.keys import KeyNormalizer
from features.ingest.erasure import Erasure
from features.ingest.live_events import Ingest
from features.journeys.fold import Fold
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import clock_of
from features.settings import load_settings
from features.states.journey_states import JourneyStates
from features.store.feast_store import FeatureStore
from serving.access.access_log import COMMAND_LINE, Access, append_access
from serving.contract.customers import ForgetAnswer, ForgetRequest, UnconfirmedAnswer
from serving.contract.merge_candidates import MergeCandidatesAnswer, MergeCandidatesRequest
from serving.contract.requests import Request
from serving.decide.customer_inputs import OnlineFeatures
from serving.server.forget import forget
from serving.server.merge_candidates import decide_candidates, view_candidates
from training.pipeline.registry import Registry

_Request = TypeVar("_Request", bound=Request)


def ask_candidates(sent: Mapping[str, object]) -> MergeCandidatesAnswer:
    """List merge candidates, or decide one; ``sent`` is the body of `/v1/merge_candidates`.

    Raises
    ------
    InvalidSetting
        If an option has a value that cannot be used.
    """
    request = checked_request(MergeCandidatesRequest, sent, "merge-candidates")
    settings = load_settings()
    ledger = Ledger(settings.ledger_url)
    try:
        log_command(ledger, "nba merge-candidates")
        if request.decision is None:
            return view_candidates(request, ledger)
        domain = open_domain(settings.domain)
        online = OnlineFeatures(FeatureStore(settings, domain))
        ingest = Ingest(ledger, online, domain, JourneyStates(Fold(domain), online.state))
        try:
            normalizer, now = KeyNormalizer(domain), clock_of(settings, ledger)()
            return asyncio.run(decide_candidates(request, ingest, ledger, normalizer, now))
        finally:
            ingest.publisher.close()
    finally:
        ledger.close()


def erase(key: str, confirm: tuple[str, ...]) -> ForgetAnswer | UnconfirmedAnswer:
    """Erase a customer as `/v1/forget` does, and clean the files.

    Raises
    ------
    InvalidData
        If the key cannot be used.
    InvalidSetting
        If a key to confirm cannot be used.
    IdentityUnknown
        If nothing is stored of the customer.
    CustomerForgotten
        If the customer was forgotten already.
    """
    settings = load_settings()
    domain = open_domain(settings.domain)
    normalizer = KeyNormalizer(domain)
    [customer_id] = normalizer.each([key], "KEY")
    request = checked_request(
        ForgetRequest, {"customer_id": customer_id, "confirm": confirm}, "forget"
    )
    ledger = Ledger(settings.ledger_url)
    try:
        log_command(ledger, "nba forget")
        store, home = FeatureStore(settings, domain), settings.home
        clock = clock_of(settings, ledger)
        erasure = Erasure(ledger, store, home, clock, forgetting(ledger, domain, home))
        done = forget(request, erasure, normalizer, Registry(settings), clock())
        erasure.finish()
        return done
    finally:
        ledger.close()


def log_command(ledger: Ledger, command: str) -> None:
    """Write the use of a command to the access log, as that of a route would be."""
    access = Access(utc_now(), None, getpass.getuser(), COMMAND_LINE, command)
    ledger.write_now(partial(append_access, access=access))


def checked_request(kind: type[_Request], sent: Mapping[str, object], command: str) -> _Request:
    """Make the request of a command as the route would; refuse what the route refuses."""
    try:
        return kind.model_validate(sent)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSetting(
            f"{first['loc'][0]} is {first['input']!r}." if first["loc"] else "Options are wrong.",
            expected=first["msg"],
            remedy=f"Correct the option; 'nba {command} --help' has examples.",
        ) from None
