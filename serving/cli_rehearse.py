"""`nba rehearse`: policies against each other in a simulated business, or a server in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from serving.terminal import out, plain_errors, progress

if TYPE_CHECKING:
    from training.rehearsal_cast import Rehearsal
    from training.rehearsal_judgement import Estimate

rehearsing = typer.Typer()


@rehearsing.command()
def rehearse(
    customers: Annotated[int, typer.Option(min=1, help="In each world.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="How long each world goes on.")] = 60,
    seeds: Annotated[int, typer.Option(min=1, help="How many worlds.")] = 3,
    policies: Annotated[
        str, typer.Option(help="Some of ours, fixed, rules, random, propensity, oracle.")
    ] = "ours,fixed,rules,random,propensity,oracle",
    picture: Annotated[Path | None, typer.Option(help="A PNG to draw it to.")] = None,
) -> None:
    """Rehearse policies in a simulated business whose truth is known, before customers meet them.

    Value: kept sales less costs less a year's margin of everybody who left, for each customer.

    Example: nba rehearse --customers 500 --days 30 --seeds 1

    Example: nba rehearse --customers 20000 --days 90 --seeds 5 --picture rehearsal.png
    """
    from training.rehearsal_cast import rehearse as hold

    with plain_errors():
        names = [name.strip() for name in policies.split(",") if name.strip()]
        with progress() as report:
            found = hold(customers, days, range(1, seeds + 1), names, report)
        _show(found)
        if picture is not None:
            from training.rehearsal_picture import draw_rehearsal

            draw_rehearsal(found, picture)
            out.print(f"Drawn to {picture}.", soft_wrap=True)


def _show(found: Rehearsal) -> None:
    from training.rehearsal_judgement import leads, standings

    table = Table(
        "policy", "EUR a customer", "left", "of oracle's gain", "in last third", "caps broken"
    )
    for one in standings(found):
        played = one.name if one.played == one.name else f"{one.name} ({one.played})"
        parts = (one.of_oracle, one.late_of_oracle)
        gains = ["" if part is None else f"{part.value:.1%}" for part in parts]
        churn = f"{one.churn.value:.2%}"
        table.add_row(played, f"{one.value.value:.2f}", churn, *gains, f"{one.breaches}")
    out.print(table)
    ahead = leads(found)
    if not ahead:
        return
    table = Table("ours against", "EUR a customer", "in parts of theirs", "left, points")
    for lead in ahead:
        relative = "" if lead.relative != lead.relative else f"{lead.relative:+.1%}"
        churn = _figure(lead.churn, 2, "", 100)
        table.add_row(lead.over, _figure(lead.value), relative, churn)
    out.print(table)


def _figure(one: Estimate | None, digits: int = 2, unit: str = "", times: float = 1.0) -> str:
    if one is None:
        return ""
    value, low, high = (f"{times * part:.{digits}f}" for part in (one.value, one.low, one.high))
    interval = "" if one.low != one.low else f" [{low}, {high}]"  # nan: nobody knows how sure it is
    return f"{value}{unit}{interval}"
