"""The command `nba journeys`: looks at maps, funnels, ways and promises without a server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.cli.terminal import BROKEN, err, moment, out, plain_errors, progress

if TYPE_CHECKING:
    from serving.contract.journeys import JourneysRequest

journeys_command = typer.Typer()
PAGE_ROWS = 20


View = Annotated[
    str,
    typer.Argument(
        help="overview, page, map, ways, loops, channels, breakdown, funnel, times, next, compare, "
        "promises or conformance."
    ),
]
Of = Annotated[str, typer.Option("--map", help="A kind of journey, or lifecycle.")]
Since = Annotated[
    str | None, typer.Option(help="Journeys that began on this day or time, or later.")
]
Until = Annotated[str | None, typer.Option(help="Journeys that began before this day or time.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="attribute=value, persona=, how=, channel= or through=; repeatable."),
]
By = Annotated[str | None, typer.Option(help="Of breakdown: an attribute, or persona.")]
To = Annotated[str | None, typer.Option(help="Of times: the step to reach.")]
Against = Annotated[
    str | None, typer.Option(help="Of compare: 'expected', or a period: 2026-01-01/2026-02-01.")
]
KnownAt = Annotated[str | None, typer.Option(help="As it was known on this day or time.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows of a table.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")]
Html = Annotated[Path | None, typer.Option(help="Write one page that prints on A4 to this file.")]
Recount = Annotated[
    bool, typer.Option(help="Count all again from the events, and compare; nothing else.")
]


@journeys_command.command()
def journeys(
    view: View = "page",
    of: Of = "lifecycle",
    since: Since = None,
    until: Until = None,
    where: Where = None,
    by: By = None,
    to: To = None,
    against: Against = None,
    known_at: KnownAt = None,
    limit: Limit = PAGE_ROWS,
    as_json: AsJson = False,
    html: Html = None,
    recount: Recount = False,
) -> None:
    """Show how customers really went: the map, the funnel, the ways, and the promises.

    Attributes and personas are those at the start of a journey. A day begins at midnight on the
    clock of the business. --recount exits with 1 if a number differs.

    Example: nba journeys overview

    Example: nba journeys map --map support

    Example: nba journeys breakdown --by income --since 2026-01-01

    Example: nba journeys --map support --html support.html

    Example: nba journeys --recount
    """
    from serving.cli.journeys.opening import asked_for

    with plain_errors():
        if recount:
            _count_again()
            return
        begin, end = _moment("since", since), _moment("until", until)
        times = None if to is None else {"to": {"step": to}}
        options = {"by": by, "times": times, "limit": limit, "picture": html is not None}
        then = _moment("known-at", known_at)
        request = asked_for(view, of, (begin, end), where or [], against, then, options)
        _show(request, as_json, html)


def _moment(name: str, text: str | None) -> datetime | None:
    return None if text is None else moment(name, text)


def _count_again() -> None:
    from serving.cli.journeys.opening import differences

    with progress() as report:
        found = differences(report)
    for line in found[:PAGE_ROWS]:
        out.print(line, markup=False, soft_wrap=True)
    if found:
        err.print(f"{len(found):,} numbers differ from the events.")
        raise typer.Exit(BROKEN)
    out.print("All numbers are those of the events.")


def _show(request: JourneysRequest, as_json: bool, html: Path | None) -> None:
    from serving.cli.journeys.opening import look
    from serving.cli.journeys.tables import tables_of

    with progress() as report:
        answer, page = look(request, report, as_page=html is not None)
    if html is not None and page is not None:
        html.write_text(page, encoding="utf-8")
        out.print(f"Written to {html}.", soft_wrap=True)
    elif as_json:
        out.print(answer.model_dump_json(indent=1), markup=False, soft_wrap=True)
    else:
        for table in tables_of(answer, request.limit):
            if isinstance(table, str):
                out.print(table, markup=False, soft_wrap=True)
            else:
                out.print(table)
