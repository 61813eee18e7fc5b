"""The steps of `nba guardrails`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial

from features.business.domain import Domain
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import clock_of
from features.settings import load_settings
from serving.catalog.compiled_catalog import load_catalog
from serving.cli.steps_identity import checked_request, log_command
from serving.contract.guardrails import (
    GuardrailsRequest,
    GuardrailStopView,
    GuardrailsView,
    LiftStopRequest,
)
from serving.guardrails.stops import lift_stop
from serving.guardrails.views import view_guardrails

COMMAND = "guardrails"


def read_guardrails(sent: Mapping[str, object]) -> GuardrailsView:
    """Read guardrails as `/v1/guardrails` does.

    Raises
    ------
    InvalidSetting
        If an option has a value that cannot be used.
    """
    request = checked_request(GuardrailsRequest, sent, COMMAND)
    settings = load_settings()
    domain: Domain = open_domain(settings.domain)
    catalog = load_catalog(settings.actions, domain)
    with closing(Ledger(settings.ledger_url)) as ledger:
        return ledger.read(
            partial(
                view_guardrails,
                also_lifted=request.stops == "all",
                catalog=catalog,
                domain=domain,
            )
        )


def lift_one(sent: Mapping[str, object]) -> GuardrailStopView:
    """Lift a stop as `/v1/guardrails/lift` does.

    Raises
    ------
    InvalidSetting
        If an option is missing, or has a value that cannot be used.
    InvalidRequest
        If the guardrail has not switched that action off.
    """
    request = checked_request(LiftStopRequest, sent, COMMAND)
    settings = load_settings()
    with closing(Ledger(settings.ledger_url)) as ledger:
        log_command(ledger, f"nba {COMMAND} --lift")
        return lift_stop(ledger, request, clock_of(settings, ledger)())
