"""The customers of a world as a table for `nba load`, and the printed result of a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from features.errors import InvalidSetting
from serving.cli.simulation.play import PairResult, ServerResult
from serving.cli.terminal import out
from training.simulation.business import SimulatedBusiness


def write_customers(business: SimulatedBusiness, folder: Path, customers: int, seed: int) -> Path:
    """Write the customers of a world as a table for `nba load`.

    Raises
    ------
    InvalidSetting
        If the folder cannot be written.
    """
    path = folder / "customers.csv"
    table = business.make_world(customers, seed, 1).customers()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    except OSError as error:
        raise InvalidSetting(
            f"tables is {str(folder)!r}, where no file can be written ({type(error).__name__}).",
            expected="a folder for the table of the customers",
            remedy="Correct --tables.",
        ) from error
    return path


def print_server(result: ServerResult) -> None:
    """Print the arms, and each pair: the reported lift with both intervals, and the true one."""
    arms = Table("arm", "customers", "EUR a customer, by the world", "by /v1/lift", "left")
    reported = {one["arm"]: one for one in result.lift["arms"]}
    for arm in ("policy", "random", "nobody"):
        members = result.arm == arm
        if not members.any():
            continue
        value = f"{result.value_of_customer[members].mean():.2f}"
        told = reported.get(arm, {}).get("value")
        left = f"{result.left[members].mean():.1%}"
        arms.add_row(arm, f"{int(members.sum()):,}", value, _amount(told), left)
    out.print(arms)
    pairs = Table("lift, EUR a customer", "reported", "at any time", "one planned look", "true", "")
    for pair in result.pairs:
        pairs.add_row(
            f"{pair.arm} less {pair.against}", *_reported(pair), f"{pair.true:+.2f}", _held(pair)
        )
    out.print(pairs)
    out.print(
        f"{result.decisions:,} decisions; {result.refused:,} that the world does not allow; "
        f"{result.caps_broken:,} caps exceeded."
    )


def _reported(pair: PairResult) -> tuple[str, str, str]:
    found = pair.reported
    if found is None:
        return "", "", ""
    return (
        _amount(found["value"], "+"),
        _interval(found, "low", "high"),
        _interval(found, "planned_low", "planned_high"),
    )


def _interval(found: Mapping[str, Any], low: str, high: str) -> str:
    if found[low] is None or found[high] is None:
        return "not yet"
    return f"{found[low]:+.2f} to {found[high]:+.2f}"


def _amount(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.2f}"


def _held(pair: PairResult) -> str:
    return {None: "too few customers", True: "held", False: "missed"}[pair.holds]
