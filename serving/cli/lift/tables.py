"""Prints a lift: the pairs of arms, the arms, and credited rewards as the second table."""

from __future__ import annotations

from rich.table import Table

from serving.cli.terminal import out
from serving.contract.credited_lift import CreditedLift
from serving.contract.lift import LiftView, PairView
from training.evaluation.sample_ratio import MISMATCH_P


def print_lift(found: LiftView) -> None:
    """Print a lift for people."""
    _print(found.objective)
    if any(arm.customers for arm in found.arms):
        out.print(_arms(found))
    if found.pairs:
        out.print(_pairs(found))
    if found.sample_ratio.p_value is not None:
        _print(_sizes(found.sample_ratio.p_value))
    for sentence in [*found.remarks, *(pair.verdict for pair in found.pairs[1:]), found.verdict]:
        _print(sentence)
    _print_credited(found.credited)


def _arms(found: LiftView) -> Table:
    table = Table("arm", "customers", "planned", "value", "margin", "cost", "lost", "left")
    unit = found.currency.upper()
    table.title = f"Arms: value of a customer in {unit}, as margin less cost less lost"
    for arm in found.arms:
        means = (_number(mean) for mean in (arm.value, arm.margin, arm.cost, arm.lost))
        left = "" if arm.left is None else f"{arm.left:.2%}"
        table.add_row(arm.arm, f"{arm.customers:,}", f"{arm.share:.1%}", *means, left)
    return table


def _pairs(found: LiftView) -> Table:
    """Make a table with a column for each pair: so it fits into 80 columns of a terminal."""
    table = Table(title="One arm less another, with 95 % intervals")
    table.add_column(no_wrap=True)
    for pair in found.pairs:
        table.add_column(f"{pair.arm} less {pair.against}")
    cells = zip(*map(_cells, found.pairs), strict=True)
    for name, row in zip(_rows_of_pairs(found.currency.upper()), cells, strict=True):
        table.add_row(name, *row)
    return table


def _rows_of_pairs(unit: str) -> tuple[str, ...]:
    value = f"{unit} a customer", "  at any time", "  one planned look", "smallest to show"
    return *value, "left, in 100", "  at any time"


def _cells(pair: PairView) -> tuple[str, ...]:
    value, left = ("", "", "", ""), ("", "")
    if (lift := pair.lift) is not None:
        bounds = _between(lift.low, lift.high), _between(lift.planned_low, lift.planned_high)
        value = (f"{lift.value:+,.2f}", *bounds, _number(lift.smallest))
    if pair.left is not None:
        low, high = pair.left.low, pair.left.high
        left = f"{100 * pair.left.value:+.2f}", _between(low, high, 100)
    return *value, *left


def _sizes(p_value: float) -> str:
    fit = "are" if p_value >= MISMATCH_P else "are not"
    limit = f"p = {p_value:.2g}; the limit is {MISMATCH_P:g}"
    return f"The sizes of the arms {fit} those that are planned ({limit})."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _between(low: float | None, high: float | None, times: float = 1) -> str:
    if low is None or high is None:
        return "not known yet"
    return f"{times * low:,.2f} to {times * high:,.2f}"


def _print_credited(found: CreditedLift) -> None:
    unit = found.currency.upper()
    table = Table("arm", "customers", "decisions", f"{unit} a customer", f"{unit} a decision")
    table.title = "Credited rewards only: this is not what the policy earns"
    for name, arm in (("policy", found.policy), ("random", found.random)):
        means = (arm.reward_per_customer, arm.reward_per_decision)
        figures = ["" if mean is None else f"{mean:,.3f}" for mean in means]
        table.add_row(name, f"{arm.customers:,}", f"{arm.decisions:,}", *figures)
    out.print(table)
    for remark in found.remarks:
        _print(remark)
    _print(found.verdict)


def _print(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
