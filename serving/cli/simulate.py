"""The command `nba simulate`: compares policies, or tests a server, in a simulated business."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from serving.cli.terminal import out, plain_errors, progress

if TYPE_CHECKING:
    from features.intervals import ConfidenceInterval
    from training.simulation.tournament import TournamentResult

simulation = typer.Typer()
FIRST_SEED = 1
CORES = os.cpu_count() or 1


@simulation.command()
def simulate(
    customers: Annotated[int, typer.Option(min=1, help="Customers in each world.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="Days in each world.")] = 60,
    seeds: Annotated[int, typer.Option(min=1, help="Number of worlds.")] = 3,
    policies: Annotated[
        str, typer.Option(help="Some of nobody, random, fixed, rules, oracle.")
    ] = "nobody,random,fixed,rules,oracle",
    processes: Annotated[
        int, typer.Option(min=1, help="Worlds played in parallel; 0.3 GB each.")
    ] = CORES,
    picture: Annotated[Path | None, typer.Option(help="PNG file to draw the result to.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Play the first world on this server; it needs NBA_CLOCK=simulated."),
    ] = None,
    key: Annotated[
        str,
        typer.Option(help="A key of that server: decide, write, read, admin.", envvar="NBA_KEY"),
    ] = "",
    connections: Annotated[int, typer.Option(min=1, max=64, help="To that server.")] = 4,
    tables: Annotated[
        Path | None, typer.Option(help="Only write the customers of the first world there.")
    ] = None,
) -> None:
    """Compare policies in a simulated business with known truth, before customers meet them.

    Value: sales that were not returned, less costs, less a year's margin of each customer who left;
    per customer.

    Example: nba simulate --customers 500 --days 30 --seeds 1

    Example: nba simulate --customers 20000 --days 90 --seeds 5 --picture simulation.png

    Example: nba simulate --customers 300 --tables world/ && nba load world/

    Example: nba simulate --customers 300 --days 20 --url http://localhost:3000
    """
    from training.simulation.businesses import TELEPHONE
    from training.simulation.tournament import run_tournament

    with plain_errors():
        if tables is not None:
            from serving.cli.simulation.tables import write_customers

            path = write_customers(TELEPHONE, tables, customers, FIRST_SEED)
            out.print(f"Written: {path}", soft_wrap=True)
            return
        if url is not None:
            _play_on_server(url, customers, days, key, connections)
            return
        names = [name.strip() for name in policies.split(",") if name.strip()]
        worlds = range(FIRST_SEED, FIRST_SEED + seeds)
        with progress() as show:
            tournament = run_tournament(customers, days, worlds, names, show, processes)
        _print_summaries(tournament)
        _print_differences(tournament)
        if picture is not None:
            from training.simulation.picture import draw_tournament

            draw_tournament(tournament, picture)
            out.print(f"Drawn to {picture}.", soft_wrap=True)


def _play_on_server(url: str, customers: int, days: int, key: str, connections: int) -> None:
    from serving.cli.simulation.play import play_on_server
    from serving.cli.simulation.tables import print_server
    from training.simulation.businesses import TELEPHONE

    with progress() as show:
        result = play_on_server(TELEPHONE, url, customers, days, FIRST_SEED, show, key, connections)
    print_server(result)


def _print_summaries(tournament: TournamentResult) -> None:
    from training.simulation.report import policy_summaries

    table = Table(
        "policy",
        "EUR a customer",
        "left",
        "of oracle's gain over random",
        "in last third",
        "caps exceeded",
    )
    for one in policy_summaries(tournament):
        name = one.name if one.variant == one.name else f"{one.name} ({one.variant})"
        shares = (one.oracle_share, one.late_oracle_share)
        gains = ["" if share is None else f"{share.value:.1%}" for share in shares]
        churn = f"{one.churn.value:.2%}"
        table.add_row(name, f"{one.value.value:.2f}", churn, *gains, f"{one.cap_violations}")
    out.print(table)


def _print_differences(tournament: TournamentResult) -> None:
    from training.simulation.report import COMPARED, policy_differences

    differences = policy_differences(tournament)
    if not differences:
        return
    table = Table(f"{COMPARED} less", "EUR a customer", "relative", "left, percentage points")
    for one in differences:
        relative = "" if one.relative != one.relative else f"{one.relative:+.1%}"
        table.add_row(one.other, _figure(one.value), relative, _figure(one.churn, 100))
    out.print(table)


def _figure(interval: ConfidenceInterval, times: float = 1.0) -> str:
    value, low, high = (f"{times * part:.2f}" for part in interval)
    known = interval.low == interval.low  # nan: too few values for an interval
    return f"{value} [{low}, {high}]" if known else value
