"""Lift for people: the figures of `training.lift` with a verdict in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from math import isfinite

from features.catalog import Catalog
from features.domain import Domain
from features.errors import InvalidRequest
from features.ledger import Ledger
from features.rewards import rewards
from features.tables import EPOCH
from serving.contract_lift import ArmView, LiftDay, LiftFigure, LiftView, RatioView, Verdict
from training.lift import FEW, Arm, Figure, Lift, lift


def view_lift(
    ledger: Ledger,
    domain: Domain,
    catalog: Catalog,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
) -> LiftView:
    """What the policy earned more than the control group, a customer, as it is known now.

    Only what is put down to a decision is counted: what customers do unprompted is in neither arm.

    Raises
    ------
    InvalidRequest
        If ``until`` is not after ``since``.
    """
    if since and until and until <= since:
        raise InvalidRequest(
            f"until is {until.isoformat()}.",
            expected=f"a time after since, {since.isoformat()}",
            remedy="Swap them, or leave one out.",
        )
    earned = rewards(ledger, catalog, now, since, until)
    found = lift(earned.table, catalog.control_group.share)
    verdict, in_words = _verdict(found, domain.currency.upper())
    return LiftView(
        since=since,
        until=until,
        known_at=now,
        currency=domain.currency,
        verdict=verdict,
        in_words=in_words,
        lift=_figure(found),
        policy=_arm(found.policy),
        control=_arm(found.control),
        in_both_arms=found.in_both,
        sample_ratio=_ratio(found),
        remarks=list(_remarks(found, earned.forgotten)),
        days=_days(found),
    )


def _verdict(found: Lift, currency: str) -> tuple[Verdict, str]:
    figure = found.figure
    if figure is None:
        return "not enough", _too_few(found)
    between = f"{_money(figure.low)} to {_money(figure.high)} {currency}, with 95 % confidence"
    amount = f"{_money(abs(figure.value))} {currency} a customer ({between})"
    if found.ratio is not None and found.ratio.suspicious:
        return "do not trust", f"{_split(found)} The figure that should not be trusted: {amount}."
    if figure.low > 0:
        return "more", f"The policy earns more than chance: {amount}."
    if figure.high < 0:
        return "less", f"The policy earns less than chance: {amount}."
    return "unclear", f"No difference can be told yet: {_signed(figure)} {currency} ({between})."


def _too_few(found: Lift) -> str:
    counts = f"{found.policy.customers:,} customers in the policy's arm and "
    counts += f"{found.control.customers:,} in the control group"
    if min(found.policy.customers, found.control.customers) < 2:
        return f"Not enough: {counts}. At least 2 in each are needed, some hundreds say something."
    return f"Not enough: {counts}, and within an arm all have earned the same."


def _split(found: Lift) -> str:
    """In plain words what a sample ratio mismatch means."""
    if found.ratio is None:
        return ""
    everybody = found.policy.customers + found.control.customers
    return (
        f"The split is not what the catalogue says: {found.control.customers:,} of {everybody:,} "
        f"customers are in the control group ({found.control.customers / everybody:.2%}) instead "
        f"of {found.ratio.expected_share:.2%}, which chance does hardly ever (p = "
        f"{found.ratio.p_value:.1g}). Do not trust the lift. Was the share or the salt changed in "
        "this period, were many customers merged, or does a channel decide for some only?"
    )


def _remarks(found: Lift, forgotten: list[str]) -> Iterator[str]:
    if still := found.policy.open + found.control.open:
        yield (
            f"{still:,} decisions are counted with what is known: their attribution windows are "
            "open."
        )
    if found.in_both:
        yield (
            f"{found.in_both:,} customers were seen in both arms, because they were merged; they "
            "are counted in neither."
        )
    if found.figure and (fewest := min(found.policy.telling, found.control.telling)) < FEW:
        yield (
            f"Only {fewest:,} customers of one arm have earned anything else than most: the "
            f"interval may be too short. Wait for at least {FEW}."
        )
    if forgotten:
        yield f"Shown, but not in the catalogue any more, and counted as 0: {', '.join(forgotten)}."


def _figure(found: Lift) -> LiftFigure | None:
    figure = found.figure
    if figure is None:
        return None
    return LiftFigure(
        per_customer=figure.value,
        low=figure.low,
        high=figure.high,
        welch_low=figure.welch_low,
        welch_high=figure.welch_high,
        percent=_percent(figure.relative),
        percent_low=_percent(figure.relative_low),
        percent_high=_percent(figure.relative_high),
        per_decision=found.policy.per_decision - found.control.per_decision,
    )


def _arm(arm: Arm) -> ArmView:
    return ArmView(
        customers=arm.customers,
        decisions=arm.decisions,
        open_decisions=arm.open,
        reward=arm.reward,
        reward_per_customer=_known(arm.per_customer),
        reward_per_decision=_known(arm.per_decision),
    )


def _ratio(found: Lift) -> RatioView | None:
    ratio = found.ratio
    if ratio is None:
        return None
    return RatioView(
        expected_share=ratio.expected_share,
        share=found.control.customers / (found.control.customers + found.policy.customers),
        p_value=ratio.p_value,
        warning=_split(found) if ratio.suspicious else None,
    )


def _days(found: Lift) -> list[LiftDay]:
    columns = ("policy", "control", "lift", "low", "high")
    return [
        LiftDay(
            day=(EPOCH + timedelta(days=int(row["day"]))).date(),
            **{name: _known(row[name]) for name in columns},
        )
        for row in found.by_day.to_dict("records")
    ]


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def _percent(value: float) -> float | None:
    return 100 * value if isfinite(value) else None


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _signed(figure: Figure) -> str:
    return f"{figure.value:+,.2f}"
