"""`nba lift` prints arms, pairs with both intervals, a verdict, and credited rewards apart."""

from __future__ import annotations

from serving.cli import terminal
from serving.cli.lift.tables import print_lift
from serving.contract.credited_lift import CreditedArm, CreditedLift, CreditedRatio
from serving.contract.lift import ArmView, DifferenceView, LiftView, PairView, SampleRatio

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


def test_arms_and_pairs_are_printed_with_both_intervals(capsys, monkeypatch):
    monkeypatch.setattr(terminal.out, "_width", 80)
    lift = DifferenceView(
        value=-106.4,
        low=-108.25,
        high=-4.5,
        planned_low=-7.5,
        planned_high=-5.25,
        smallest=1.75,
        planned_smallest=1.5,
    )
    left = lift.model_copy(update={"value": 0.02, "low": 0.01, "high": 0.03})
    none = dict.fromkeys(("relative", "relative_low", "relative_high", "explained"))
    about = {"arm": "policy", "informative": 90, "days": [], **none}
    pairs = [
        PairView(**about, against="nobody", lift=lift, left=left, verdict="First."),
        PairView(**about, against="random", lift=None, left=None, verdict="Second."),
    ]
    few = lift.model_copy(update={"low": None, "high": None, "smallest": None})
    pairs.append(pairs[1].model_copy(update={"lift": few, "verdict": "Third."}))
    arms = [
        ArmView(
            arm="policy",
            share=0.96,
            customers=9_600,
            value=1.25,
            margin=3,
            cost=1,
            lost=0.75,
            left=0.021,
        ),
        ArmView(
            arm="nobody",
            share=0.02,
            customers=0,
            value=None,
            margin=None,
            cost=None,
            lost=None,
            left=None,
        ),
    ]
    ratio = SampleRatio(expected={}, found={}, p_value=0.25, trusted=True)
    changes = {"arms": arms, "pairs": pairs, "sample_ratio": ratio, "verdict": "First."}
    print_lift(VIEW.model_copy(update=changes))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("9,600", "96.0%", "1.25", "2.10%", "p = 0.25; the limit"):
        assert text in shown
    assert cells_of(shown, "EUR a customer") == ["-106.40", "", "-106.40"]
    at_any_time, left = (line for line in shown.splitlines() if "  at any time" in line)
    assert cells_of(at_any_time, "at any") == ["-108.25 to -4.50", "", "not known yet"]
    assert cells_of(left, "at any") == ["1.00 to 3.00", "", ""]
    assert cells_of(shown, "one planned look") == ["-7.50 to -5.25", "", "-7.50 to -5.25"]
    assert cells_of(shown, "smallest to show") == ["1.75", "", ""]
    assert cells_of(shown, "left, in 100") == ["+2.00", "", ""]
    assert shown.count("First.") == 1 and "Second." in shown


def cells_of(shown: str, name: str) -> list[str]:
    """The cells of a line of the table of pairs."""
    line = next(line for line in shown.splitlines() if name in line)
    return [cell.strip() for cell in line.strip("│|").split("│")][1:]


def test_arms_of_wrong_sizes_are_told(capsys):
    ratio = SampleRatio(expected={}, found={}, p_value=1e-5, trusted=False)
    print_lift(VIEW.model_copy(update={"sample_ratio": ratio}))
    assert "The sizes of the arms are not those that are planned" in capsys.readouterr().out
