"""`nba rehearse`: policies against each other in a simulated business, or a server in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from serving.cli.terminal import out, plain_errors, progress

if TYPE_CHECKING:
    from features.intervals import ConfidenceInterval
    from training.simulation.tournament import Rehearsal

rehearsing = typer.Typer()
FIRST = 1  # seed of the first world
CORES = os.cpu_count() or 1


@rehearsing.command()
def rehearse(
    customers: Annotated[int, typer.Option(min=1, help="In each world.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="How long each world goes on.")] = 60,
    seeds: Annotated[int, typer.Option(min=1, help="How many worlds.")] = 3,
    policies: Annotated[
        str, typer.Option(help="Some of ours, fixed, rules, random, propensity, oracle.")
    ] = "ours,fixed,rules,random,propensity,oracle",
    processes: Annotated[
        int, typer.Option(min=1, help="How many worlds at once; 0.3 to 1.6 GB each.")
    ] = CORES,
    picture: Annotated[Path | None, typer.Option(help="A PNG to draw it to.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Rehearse this server; the first world only.")
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(help="Only write the first world's customers there.")
    ] = None,
) -> None:
    """Rehearse policies in a simulated business whose truth is known, before customers meet them.

    Value: kept sales less costs less a year's margin of everybody who left, for each customer.

    Example: nba rehearse --customers 500 --days 30 --seeds 1

    Example: nba rehearse --customers 20000 --days 90 --seeds 5 --picture rehearsal.png

    Example: nba rehearse --customers 300 --tables world/ && nba load world/

    Example: nba rehearse --customers 300 --days 20 --url http://localhost:3000
    """
    from training.simulation.tournament import rehearse as hold

    with plain_errors():
        if tables is not None:
            from serving.cli.simulate_server import write_customers

            out.print(f"Written: {write_customers(tables, customers, FIRST)}", soft_wrap=True)
            return
        if url is not None:
            _rehearse_server(url, customers, days)
            return
        names = [name.strip() for name in policies.split(",") if name.strip()]
        with progress() as report:
            found = hold(customers, days, range(FIRST, FIRST + seeds), names, report, processes)
        _show(found)
        if picture is not None:
            from training.simulation.rehearsal_picture import draw_rehearsal

            draw_rehearsal(found, picture)
            out.print(f"Drawn to {picture}.", soft_wrap=True)


def _rehearse_server(url: str, customers: int, days: int) -> None:
    from serving.cli.simulate_server import rehearse_server

    with progress() as report:
        met = rehearse_server(url, customers, days, FIRST, report)
    table = Table("arm", "customers", "EUR a customer")
    for arm, mine in (("policy", met.seen & ~met.control), ("control", met.seen & met.control)):
        mean = f"{met.value_of_customer_eur[mine].mean():.2f}" if mine.any() else ""
        table.add_row(arm, f"{int(mine.sum()):,}", mean)
    out.print(table)
    out.print(f"{met.decisions:,} decisions; the world would not have allowed {met.refused:,}.")
    if met.lead is not None:
        out.print(f"Policy less control group: {_figure(met.lead)} EUR a customer.", markup=False)


def _show(found: Rehearsal) -> None:
    from training.simulation.report import leads, standings

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


def _figure(
    one: ConfidenceInterval | None, digits: int = 2, unit: str = "", times: float = 1.0
) -> str:
    if one is None:
        return ""
    value, low, high = (f"{times * part:.{digits}f}" for part in (one.value, one.low, one.high))
    interval = "" if one.low != one.low else f" [{low}, {high}]"  # nan: nobody knows how sure it is
    return f"{value}{unit}{interval}"
