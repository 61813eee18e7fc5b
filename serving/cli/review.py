"""The commands of `nba` that read only: catalog, replay, lift, evaluate and feedback.

A day begins at midnight in the time zone of the business, which the catalogue names (``clock``).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from serving.cli.terminal import (
    BROKEN,
    business_zone,
    err,
    moment,
    out,
    plain_errors,
    progress,
)

if TYPE_CHECKING:
    from features.customers.satisfaction import GroupScore
    from serving.contract.evaluation import EvaluationView

review = typer.Typer()
MAX_SHOWN = 10  # decisions that are not identical, each with its differences


@review.command()
def catalog(
    names: Annotated[bool, typer.Option(help="List the names that a condition may use.")] = False,
) -> None:
    """Check the action catalogue as the server does: conditions, wordings, names, rules.

    Example: NBA_ACTIONS=new.actions.yaml nba catalog

    Example: nba catalog --names
    """
    from features.customers.consents import opt_out_sentence
    from serving.cli.steps import compile_catalog

    with plain_errors():
        made = compile_catalog()
        if names:
            for name, kind in made.context_reader.names.kinds.items():
                out.print(f"{kind:<7} {name}", markup=False, highlight=False)
            return
        rules = made.catalog.contact_policy
        out.print(
            f"{len(made.actions)} actions, {len(made.texts)} conditions, {len(rules.caps)} caps, "
            f"{len(rules.cool_downs)} cool-downs: good. Fingerprint {made.catalog.fingerprint}.",
            soft_wrap=True,
        )
        _print(made.catalog.objective_in_words)
        if opt_out := opt_out_sentence(made.catalog):
            _print(opt_out)


@review.command()
def replay(
    since: Annotated[
        str | None, typer.Option(help="Decisions from this day or time on; default: all.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of decisions, the oldest first.")
    ] = None,
    with_catalog: Annotated[
        str, typer.Option("--catalog", help="now: today's catalogue; then: that of the decision.")
    ] = "now",
    decision: Annotated[str | None, typer.Option(help="Only this decision_id.")] = None,
) -> None:
    """Decide again from the log, and count the answers that are identical to the byte.

    The exit code is 1 if an answer is not identical.

    A day of --since begins at midnight on the clock of the business.

    Example: nba replay --since 2026-11-01

    Example: nba replay --decision visit-8812 --catalog then
    """
    from serving.cli.steps import replay_decisions

    with plain_errors():
        same, others = 0, []
        with progress() as report:
            begin = moment("since", since) if since else None
            for answer in replay_decisions(
                begin, limit, _which_catalog(with_catalog), decision, report
            ):
                if answer.identical:
                    same += 1
                else:
                    others.append(answer)
        out.print(f"{same + len(others):,} decisions replayed, {same:,} identical.")
        for answer in others[:MAX_SHOWN]:
            _print(f"{answer.decision_id}: {'; '.join(answer.causes)}")
            for one in answer.differences[:3]:
                _print(f"    {one.field}: {one.then!r} then, {one.now!r} now")
        if len(others) > MAX_SHOWN:
            _print(f"... and {len(others) - MAX_SHOWN:,} more.")
        if others:
            err.print(f"{len(others):,} are not identical.")
            raise typer.Exit(BROKEN)


def _period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Read --since and --until; None leaves that side open."""
    begin = None if since is None else moment("since", since)
    return begin, None if until is None else moment("until", until)


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


def _which_catalog(text: str) -> Literal["now", "then"]:
    from features.errors import InvalidSetting

    if text == "now":
        return "now"
    if text == "then":
        return "then"
    raise InvalidSetting(
        f"catalog is {text!r}.", expected="now or then", remedy="Correct --catalog."
    )


@review.command()
def lift(
    since: Annotated[str | None, typer.Option(help="From this day or time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or time.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show what a customer brings under the policy more than in the other arms.

    All customers of an arm count from the day on which they were first met, with all their value
    and their leaving (intention to treat). The interval "at any time" holds at all looks together;
    that of one planned look, on a day that was fixed beforehand. --since and --until limit the
    days that count, in whole days, and never the customers. Who had left before has not left
    again, so the lift of all days is the one to judge by.

    Example: nba lift --since 2026-11-01
    """
    from serving.cli.lift.tables import print_lift
    from serving.cli.steps import compute_lift

    with plain_errors():
        begin, end = _period(since, until)
        found = compute_lift(begin, end)
        if as_json:
            _print(found.model_dump_json(indent=1))
            return
        print_lift(found)


@review.command()
def evaluate(
    policy: Annotated[
        str | None,
        typer.Option(
            help="Bandit to evaluate: challenger, champion, previous, learned, a version."
        ),
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="Catalogue to evaluate: other caps, levers, rules.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Decisions from this day or time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or time.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Maximum number of decisions, the newest.")
    ] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Estimate what another policy or catalogue would have earned on decisions already made.

    The engine decides again; off-policy estimators weight the logged outcomes by its probabilities.
    If the log holds too little, the answer is "not enough support" and no number. A day of --since
    and --until begins at midnight on the clock of the business.

    A policy is judged as it would have served: the version, and what was told before the first
    decision judged. A version that has learned from one of them is refused: it would look better
    than it is. Imported decisions are judged, too, if their probabilities were logged; for these,
    train with 'nba train bandit --until DAY', and set --since to that day.

    Example: nba evaluate --policy challenger --since 2026-11-01

    Example: nba evaluate --catalog new.actions.yaml
    """
    from features.errors import InvalidSetting

    with plain_errors():
        if policy is None and catalog is None:
            raise InvalidSetting(
                "Neither --policy nor --catalog is given.",
                expected="a policy or a catalogue to evaluate",
                remedy="Name one, or both: 'nba evaluate --policy challenger'.",
            )
        from serving.cli.steps import evaluate_request

        begin, end = _period(since, until)
        with progress() as report:
            found = evaluate_request(policy, catalog, begin, end, limit, report)
        if as_json:
            _print(found.model_dump_json(indent=1))
        else:
            _print_evaluation(found)


def _print_evaluation(found: EvaluationView) -> None:
    unit = found.currency.upper()
    table = Table("estimator", f"{unit} a decision", "95 % interval", "effective decisions")
    if found.decided is not None:
        table.add_row("as it was decided", f"{found.decided:.3f}", "", f"{found.decisions:,}")
    for one in found.estimates:
        value = "" if one.value is None else f"{one.value:.3f}"
        interval = "" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
        table.add_row(one.method, value, interval, f"{one.effective_decisions:,.0f}")
    out.print(table)
    shares = Table("action", "share, as decided", "share, evaluated")
    for share in found.shares:
        shares.add_row(share.action_id, f"{share.decided:.1%}", f"{share.wanted:.1%}")
    out.print(shares)
    for remark in dict.fromkeys([*(one.note for one in found.estimates if one.note)]):
        _print(remark)
    for remark in found.remarks:
        _print(remark)
    _print(found.verdict)


@review.command()
def feedback(
    by: Annotated[
        list[str] | None,
        typer.Option(help="customer, journey, stage, channel, type, month, week or day."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="From this day or time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this day or time.")] = None,
    customer: Annotated[
        str | None, typer.Option(help="Answers of this customer only (id or identifier).")
    ] = None,
) -> None:
    """Show customers' answers: NPS, CSAT, CES and stars, each with a 95 % interval.

    nps: % promoters - % detractors. csat: % of 4 and 5. ces: mean of 1 to 7. rating: mean stars.
    Months, weeks and days are those of the business, see clock in the catalogue; so are --since and
    --until.

    Example: nba feedback --by journey --by month --since 2026-01-01
    """
    from features.customers.satisfaction import PERIODS
    from features.customers.satisfaction import feedback as measure
    from features.identity.keys import KeyNormalizer
    from features.identity.links import resolve
    from features.journeys.personas.persona_conditions import open_domain
    from features.ledger.ledger import Ledger
    from features.settings import load_settings

    with plain_errors():
        settings = load_settings()
        domain = open_domain(settings.domain)
        begin, end = _period(since, until)
        groups = by or []
        ledger = Ledger(settings.ledger_url)
        if customer is not None:
            key = KeyNormalizer(domain).customer(customer)
            customer = ledger.read(lambda connection: resolve(connection, [key]))
        zone = business_zone()
        rows = measure(ledger, domain, groups, begin, end, customer, zone)
        if rows:
            out.print(_answers(rows, groups))
            if {*groups} & {*PERIODS}:
                _print(f"Days, weeks and months are of the clock of {zone.key}.")
        else:
            out.print("Nobody answered: no event of that time has a score.")


def _answers(rows: list[GroupScore], by: list[str]) -> Table:
    table = Table("measure", *by, "answers", "value", "95 % interval")
    for row in rows:
        score = row.score
        unknown = score.low != score.low  # nan: one answer alone has no interval
        interval = "" if unknown else f"{score.low:.2f} to {score.high:.2f}"
        group = [escape(text) for text in row.group]
        table.add_row(row.measure, *group, f"{score.answers:,}", f"{score.value:.2f}", interval)
    return table
