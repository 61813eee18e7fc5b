"""`nba lift` prints a verdict, and credited rewards apart."""

from __future__ import annotations

from serving.cli.lift.tables import print_lift
from serving.contract.credited_lift import CreditedArm, CreditedLift, CreditedRatio
from serving.contract.lift import LiftView, SampleRatio

ARM = CreditedArm(customers=2, decisions=3, reward_per_customer=1.5, reward_per_decision=None)
NO_FIGURE = dict.fromkeys(
    (
        *("lift", "low", "high", "welch_low", "welch_high"),
        *("relative", "relative_low", "relative_high", "per_decision"),
    )
)
CREDITED = CreditedLift(
    currency="eur",
    policy=ARM,
    random=ARM,
    in_both=0,
    open=0,
    **NO_FIGURE,
    sample_ratio=CreditedRatio(expected_random=0.5, found_random=0.5, p_value=1.0, trusted=True),
    verdict="Nothing is certain of it.",
    remarks=[],
    days=[],
    forgotten_actions=[],
)
VIEW = LiftView(
    currency="eur",
    objective="all that is spent",
    horizon_days=28,
    arms=[],
    pairs=[],
    sample_ratio=SampleRatio(expected={}, found={}, p_value=None, trusted=True),
    merged_across_arms=0,
    verdict="All in all.",
    remarks=[],
    credited=CREDITED,
)


def test_the_verdict_stands_above_what_was_credited(capsys):
    print_lift(VIEW)
    shown = capsys.readouterr().out
    assert shown.index("All in all.") < shown.index("not what the policy earns")
    assert "1.500" in shown
