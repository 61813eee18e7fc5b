"""Opens the journeys of a home, brought up to date first, and asks them one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from features.analytics.upkeep.kept_state import FOLDER
from features.analytics.upkeep.opened import opened_journeys
from features.analytics.upkeep.recount import recount
from features.analytics.upkeep.refresh import Refresher
from features.errors import InvalidSetting, quoted
from features.journeys.personas.persona_conditions import open_domain
from features.ledger.ledger import Ledger
from features.ledger.simulated_clock import clock_of
from features.progress import Progress
from features.settings import load_settings
from serving.cli.terminal import business_zone, moment
from serving.contract.journeys import JourneysAnswer, JourneysRequest
from serving.journeys.answer import answer_journeys, answer_overview
from serving.journeys.report import MOST_EDGES, report_html

# What of a filter --where may name, beside the attributes.
PARTS = {"persona": "persona", "how": "how", "channel": "entry_channel", "account": "account"}


def asked_for(
    view: str,
    of: str,
    period: tuple[datetime | None, datetime | None],
    where: Sequence[str],
    against: str | None,
    known_at: datetime | None,
    options: Mapping[str, Any],
) -> JourneysRequest:
    """Make the request of the options.

    Raises
    ------
    InvalidSetting
        If an option cannot be used; names it.
    """
    wanted: dict[str, Any] = {"map": of, "since": period[0], "until": period[1], "attributes": {}}
    for text in where:
        name, sign, value = text.partition("=")
        if not sign:
            raise InvalidSetting(
                f"where is {quoted(text)}.",
                expected="name=value, such as income=250K+ or persona=others",
                remedy="Correct --where.",
            )
        given = value or None
        if name == "through":
            wanted["through"] = given
        elif name in PARTS:
            wanted[PARTS[name]] = (*wanted.get(PARTS[name], ()), given)
        else:
            wanted["attributes"][name] = (*wanted["attributes"].get(name, ()), given)
    request = {
        **{name: value for name, value in options.items() if value is not None},
        "view": view,
        "filter": wanted,
        "known_at": known_at,
        "against": _against(against, wanted),
    }
    try:
        return JourneysRequest.model_validate(request)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "the command"
        raise InvalidSetting(
            f"{name} is {quoted(first['input'])}.",
            expected=first["msg"].removeprefix("Value error, "),
            remedy="See 'nba journeys --help'.",
        ) from error


def _against(text: str | None, wanted: Mapping[str, Any]) -> Any:
    """Read --against: the expected way, or the same filter in another period."""
    if text is None or text == "expected":
        return text
    begin, sign, end = text.partition("/")
    if not sign:
        raise InvalidSetting(
            f"against is {quoted(text)}.",
            expected="'expected', or two days with a slash, such as 2026-01-01/2026-02-01",
            remedy="Correct --against.",
        )
    return {**wanted, "since": moment("against", begin), "until": moment("against", end)}


def look(
    request: JourneysRequest, report: Progress, as_page: bool
) -> tuple[JourneysAnswer, str | None]:
    """Answer a request from the events of now; with ``as_page`` also as a page of HTML."""
    if as_page and request.most_edges is None:
        request = request.model_copy(update={"most_edges": MOST_EDGES})
    settings = load_settings()
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    try:
        now = clock_of(settings, ledger)()
        if request.known_at is None:
            Refresher(ledger, domain, settings.home / FOLDER).refresh(lambda: now, progress=report)
        if request.view == "overview":
            return answer_overview(request, ledger, domain, now), None
        at = request.known_at
        with opened_journeys(ledger, domain, settings.home, at, progress=report, now=now) as data:
            data.zone = business_zone().key
            answer = answer_journeys(request, data, now)
        return answer, report_html(answer, domain) if as_page else None
    finally:
        ledger.close()


def differences(report: Progress) -> list[str]:
    """Count all again from the events; name the numbers that differ, a sentence for each."""
    settings = load_settings()
    domain, ledger = open_domain(settings.domain), Ledger(settings.ledger_url)
    try:
        folder, clock = settings.home / FOLDER, clock_of(settings, ledger)
        Refresher(ledger, domain, folder).refresh(clock, progress=report)
        return recount(ledger, domain, folder, clock(), report)
    finally:
        ledger.close()
