"""The command `nba simulate`: compares policies, or tests a server, in a simulated business."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from features.errors import InvalidSetting
from serving.cli.terminal import out, plain_errors, progress

if TYPE_CHECKING:
    from features.intervals import ConfidenceInterval
    from serving.simulation.tournament import TournamentResult
    from training.simulation.business import SimulatedBusiness

simulation = typer.Typer()
FIRST_SEED = 1
# The other two are of the bench: one takes a minute to fit, and one is no service.
PLAYED = ("served", "acceptance", "nobody", "random", "fixed", "rules", "oracle")
CORES = os.cpu_count() or 1


@simulation.command()
def simulate(
    world: Annotated[str, typer.Option(help="The business: telephone, shop, or both.")] = "both",
    customers: Annotated[int, typer.Option(min=1, help="Customers in each world.")] = 1_000,
    days: Annotated[int, typer.Option(min=1, help="Days in each world.")] = 40,
    seeds: Annotated[int, typer.Option(min=1, help="Number of worlds of each business.")] = 1,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first world.")] = FIRST_SEED,
    policies: Annotated[
        str, typer.Option(help=f"Some of {', '.join(PLAYED)}, leaving_off, informed.")
    ] = ",".join(PLAYED),
    arms: Annotated[float, typer.Option(help="Share of each of the arms random and nobody.")] = 0.1,
    lifts: Annotated[
        bool, typer.Option(help="Compare lifts with the true ones; plays some policies twice.")
    ] = True,
    processes: Annotated[
        int, typer.Option(min=1, help="Runs played in parallel; 0.5 to 2 GB each.")
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
    """Play the service in simulated businesses with known truth, before customers meet it.

    The served classes decide, are told what happens, and learn, day by day: catalogue, contact
    policy, bandit, arbitration, credit, learner and lift, in a temporary ledger.

    served: as the service is. acceptance: it looks at acceptance only, not at value. leaving_off:
    as served, but to drive a customer away costs nothing. nobody: no contact at all. random: any
    allowed action. fixed, rules: the best action and the best list of rules, chosen in other
    worlds. oracle: knows the truth. informed: was told the truth about other worlds, but sees what
    a business sees.

    Value: sales that were not returned, less costs, less the remaining value of customers who left;
    per customer. A true lift compares each customer of an arm with the same customer in a run in
    which everybody is in the other arm.

    Example: nba simulate

    Example: nba simulate --world shop --customers 200 --days 10 --policies served,nobody

    Example: nba simulate --customers 20000 --days 60 --seeds 5 --picture simulation.png

    Example: nba simulate --customers 300 --tables world/ && nba load world/

    Example: nba simulate --customers 300 --days 20 --url http://localhost:3000
    """
    with plain_errors():
        _check_picture(picture, url)
        if tables is not None:
            from serving.cli.simulation.tables import write_customers

            path = write_customers(_business(world), tables, customers, first_seed)
            out.print(f"Written: {path}", soft_wrap=True)
        elif url is not None:
            _play_on_server(world, url, customers, days, first_seed, key, connections)
        else:
            names = [name.strip() for name in policies.split(",") if name.strip()]
            some = range(first_seed, first_seed + seeds)
            found = _play_here(_worlds(world), customers, days, some, names, arms, processes, lifts)
            _draw(found, picture)


def _check_picture(picture: Path | None, url: str | None) -> None:
    """Refuse a file that cannot be written, before hours of playing.

    Raises
    ------
    InvalidSetting
    """
    if picture is None:
        return
    written = picture.suffix.lower() == ".png" and picture.parent.is_dir() and not picture.is_dir()
    if url is not None or not written:
        raise InvalidSetting(
            f"picture is {str(picture)!r}{' together with url' if url is not None else ''}.",
            expected="a name that ends with .png, in a folder that exists; not of a server's days",
            remedy="Correct --picture, or leave it out.",
        )


def _play_here(
    worlds: list[str],
    customers: int,
    days: int,
    seeds: range,
    policies: list[str],
    arms: float | None,
    processes: int,
    lifts: bool,
) -> list[TournamentResult]:
    """Play the policies in this process and its children; print each business when it is done."""
    from serving.simulation.tournament import check_worlds, run_tournaments

    check_worlds(worlds)
    found = []
    for world in worlds:
        with progress() as show:
            found += run_tournaments(
                [world], customers, days, seeds, policies, arms, show, processes, lifts
            )
        print_tournament(found[-1])
    return found


def _draw(found: list[TournamentResult], picture: Path | None) -> None:
    if picture is not None:
        from serving.simulation.picture import draw_tournaments

        draw_tournaments(found, picture)
        out.print(f"Drawn to {picture}.", soft_wrap=True)


def _worlds(named: str) -> list[str]:
    from training.simulation.businesses import BUSINESSES

    return list(BUSINESSES) if named == "both" else [named]


def _business(named: str) -> SimulatedBusiness:
    """The business of a server, which serves one: of both, the first."""
    from serving.simulation.tournament import check_worlds
    from training.simulation.businesses import BUSINESSES

    check_worlds(_worlds(named))
    return BUSINESSES[_worlds(named)[0]]


def _play_on_server(
    world: str, url: str, customers: int, days: int, seed: int, key: str, connections: int
) -> None:
    from serving.cli.simulation.play import play_on_server
    from serving.cli.simulation.tables import print_server

    with progress() as show:
        business = _business(world)
        result = play_on_server(business, url, customers, days, seed, show, key, connections)
    print_server(result)


def print_tournament(tournament: TournamentResult) -> None:
    size = (
        _counted(tournament.customers, "customer"),
        _counted(tournament.days, "day"),
        f"{_counted(len(tournament.seeds), 'world')} from seed {tournament.seeds[0]}",
    )
    out.print(f"\n[bold]{tournament.world}[/bold]: {', '.join(size)}", highlight=False)
    _print_summaries(tournament)
    _print_differences(tournament)
    _print_lifts(tournament)


def _print_summaries(tournament: TournamentResult) -> None:
    from serving.simulation.played import CHANGES
    from serving.simulation.report import policy_summaries

    policy = Column("policy", overflow="fold")  # long names of actions are not cut
    names = ("EUR a customer", "last third", "left", "gain", "gain, last third")
    table = Table(policy, *names, "of informed", "caps broken")
    for one in policy_summaries(tournament):
        variant = one.variant.removeprefix("rules: ")
        name = one.name if variant == one.name else f"{one.name} ({variant})"
        shares = (one.oracle_share, one.late_oracle_share)
        gains = ["" if share is None else f"{share.value:.1%}" for share in shares]
        informed = one.late_informed_share
        told = "" if informed is None else _figure(informed, 100, digits=1)
        means = (f"{one.value.value:.2f}", f"{one.late_value.value:.2f}", f"{one.churn.value:.2%}")
        table.add_row(name, *means, *gains, told, f"{one.cap_violations}")
    out.print(table)
    if {*CHANGES} & {*tournament.asked}:
        out.print("Of served, acceptance and leaving_off, the customers of the arm policy count.")
    if {"oracle", "random"} <= {*tournament.asked}:
        out.print(
            "Gain: 0 % is random, 100 % the oracle, which looks weeks ahead; empty where it is not "
            "sure that the oracle earns more.",
            highlight=False,
        )
    if {"informed", "random"} <= {*tournament.asked}:
        out.print(
            "Of informed: the gain in the last third, in % of that of the informed policy.",
            highlight=False,
        )


def _print_differences(tournament: TournamentResult) -> None:
    from serving.simulation.report import COMPARED, policy_differences

    differences = policy_differences(tournament)
    if not differences:
        return
    table = Table(
        *(f"{COMPARED} less", "EUR a customer", "relative", "last third", "relative"),
        "left, percentage points",
    )
    for one in differences:
        relative, late = (
            "" if share != share else f"{share:+.1%}" for share in (one.relative, one.late_relative)
        )
        values = (_figure(one.value), relative, _figure(one.late_value), late)
        table.add_row(one.other, *values, _figure(one.churn, 100))
    out.print(table)


def _print_lifts(tournament: TournamentResult) -> None:
    from serving.simulation.played import NOBODY_OF
    from serving.simulation.report import lift_checks

    checks = lift_checks(tournament)
    if not checks:
        if {*NOBODY_OF} & {*tournament.asked} and {*NOBODY_OF.values()} & {*tournament.runs}:
            out.print("No lift is reported yet: too few customers in an arm. Raise --customers.")
        return
    table = Table(
        *("lift of", "arms", escape("reported [at any time]")),
        *(escape("[one planned look]"), "true", "held"),
    )
    for one in checks:
        means, held = one.means, f"{one.holds} and {one.planned_holds} of {one.worlds}"
        table.add_row(
            one.policy,
            f"{one.arm} - {one.against}",
            escape(f"{means.reported:.2f} [{means.low:.2f}, {means.high:.2f}]"),
            escape(f"[{means.planned_low:.2f}, {means.planned_high:.2f}]"),
            f"{means.true:.2f}",
            held,
        )
    out.print(table)
    out.print(
        "EUR a customer. Held: in how many worlds the interval at any time, and that of one "
        "planned look, hold the true lift.",
        highlight=False,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _figure(interval: ConfidenceInterval, times: float = 1.0, digits: int = 2) -> str:
    value, low, high = (f"{times * part:.{digits}f}" for part in interval)
    known = interval.low == interval.low  # nan: too few values for an interval
    return f"{value} [{low}, {high}]" if known else value
