"""Prints a lift: the pairs of arms, the arms, and credited rewards as the second table."""

from __future__ import annotations

from rich.table import Table

from serving.cli.terminal import out
from serving.contract.credited_lift import CreditedLift
from serving.contract.lift import LiftView


def print_lift(found: LiftView) -> None:
    """Print a lift for people."""
    _print(found.objective)
    if any(arm.customers for arm in found.arms):
        out.print(_arms(found))
    if found.pairs:
        out.print(_pairs(found))
    if found.sample_ratio.p_value is not None:
        _print(f"Sizes of the arms: p = {found.sample_ratio.p_value:.3g}.")
    for sentence in [*found.remarks, *(pair.verdict for pair in found.pairs[1:]), found.verdict]:
        _print(sentence)
    _print_credited(found.credited)


def _arms(found: LiftView) -> Table:
    unit = found.currency.upper()
    table = Table(
        "arm", "customers", "planned", f"{unit} a customer", "margin", "cost", "lost", "left"
    )
    for arm in found.arms:
        means = (_number(mean) for mean in (arm.value, arm.margin, arm.cost, arm.lost))
        left = "" if arm.left is None else f"{arm.left:.2%}"
        table.add_row(arm.arm, f"{arm.customers:,}", f"{arm.share:.1%}", *means, left)
    return table


def _pairs(found: LiftView) -> Table:
    unit = found.currency.upper()
    columns = "pair", f"{unit} a customer", "95 %, at any time", "95 %, one planned look"
    table = Table(*columns, "smallest to show", "left, in 100", "95 %, at any time")
    for pair in found.pairs:
        lift, left = pair.lift, pair.left
        cells = ["", "", "", ""]
        if lift is not None:
            planned = _between(lift.planned_low, lift.planned_high)
            cells = [_number(lift.value), _between(lift.low, lift.high), planned]
            cells.append(_number(lift.smallest))
        if left is not None:
            cells += [f"{100 * left.value:+.2f}", _between(left.low, left.high, 100)]
        table.add_row(f"{pair.arm} less {pair.against}", *cells)
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _between(low: float | None, high: float | None, times: float = 1) -> str:
    if low is None or high is None:
        return "not known yet"
    return f"{times * low:.2f} to {times * high:.2f}"


def _print_credited(found: CreditedLift) -> None:
    unit = found.currency.upper()
    table = Table("arm", "customers", "decisions", f"{unit} a customer", f"{unit} a decision")
    table.title = "Credited rewards only: this is not what the policy earns"
    for name, arm in (("policy", found.policy), ("random", found.random)):
        means = (arm.reward_per_customer, arm.reward_per_decision)
        figures = ["" if mean is None else f"{mean:.3f}" for mean in means]
        table.add_row(name, f"{arm.customers:,}", f"{arm.decisions:,}", *figures)
    out.print(table)
    for remark in found.remarks:
        _print(remark)
    _print(found.verdict)


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
