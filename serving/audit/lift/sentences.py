"""Says a comparison of arms in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from features.business.domain import Domain
from serving.contract.lift import ArmView, DifferenceView, PairView, SampleRatio
from training.evaluation.confidence_sequences import LEAST_INFORMATIVE
from training.evaluation.cuped import LEAST_CUSTOMERS

# Of the customers of an arm, as sentences say it.
WITH = {
    "policy": "under the policy",
    "random": "under random actions",
    "nobody": "if nobody is contacted",
}


def pair_sentence(
    pair: tuple[str, str],
    lift: DifferenceView | None,
    left: DifferenceView | None,
    informative: int,
    fewest: int,
    unit: str,
) -> str:
    """Say what a pair of arms shows, by the interval that holds at all looks.

    Parameters
    ----------
    pair
        Names of the arm, and of the one that it is compared with.
    informative : int
        Customers that carry the variance, in the arm that has fewer.
    fewest : int
        Customers of the smaller arm.
    unit : str
        The currency.
    """
    if lift is None:
        return _not_known(pair, fewest)
    if lift.low is None or lift.high is None:
        text = _not_enough(pair, informative)
    elif lift.low <= 0 <= lift.high:
        text = _uncertain(pair, lift, unit)
    else:
        amount = _amount(lift.value, (lift.low, lift.high), unit)
        more = "more" if lift.value > 0 else "less"
        text = (
            f"{WITH[pair[0]].capitalize()} a customer brings {amount} {more} than {WITH[pair[1]]}."
        )
    return " ".join([text, *_leaving(pair, left)])


def _not_known(pair: tuple[str, str], fewest: int) -> str:
    arms = f"the arms {pair[0]} and {pair[1]}"
    if fewest < LEAST_CUSTOMERS:
        return f"Not enough yet: {arms} need at least {LEAST_CUSTOMERS} customers each."
    return f"Not known: in {arms} the value of some customers is not a finite number."


def _not_enough(pair: tuple[str, str], informative: int) -> str:
    return (
        f"Not enough yet: in one of the arms {pair[0]} and {pair[1]} the differences come from "
        f"about {informative:,} customers; wait for {LEAST_INFORMATIVE}."
    )


def _uncertain(pair: tuple[str, str], lift: DifferenceView, unit: str) -> str:
    smallest = (
        ""
        if lift.smallest is None
        else (f" A difference of {lift.smallest:.2f} {unit} would probably show by now.")
    )
    more = "more" if lift.value >= 0 else "less"
    return (
        f"Not certain yet: {WITH[pair[0]]} a customer brings {abs(lift.value):.2f} {unit} {more} "
        f"than {WITH[pair[1]]}, but it may well be no difference "
        f"({lift.low:.2f} to {lift.high:.2f}).{smallest}"
    )


def _amount(value: float, bounds: tuple[float, float], unit: str) -> str:
    low, high = sorted(map(abs, bounds))
    return f"{abs(value):.2f} {unit} ({low:.2f} to {high:.2f})"


def _leaving(pair: tuple[str, str], left: DifferenceView | None) -> Iterator[str]:
    """A sentence on who leaves, if the arms certainly differ."""
    if left is None or left.low is None or left.high is None or left.low <= 0 <= left.high:
        return
    low, high = sorted(abs(100 * bound) for bound in (left.low, left.high))
    more = "more" if left.value > 0 else "fewer"
    yield (f"{100 * abs(left.value):.1f} in 100 customers {more} leave ({low:.1f} to {high:.1f}).")


def left_before_sentence(shares: Mapping[str, float]) -> Iterator[str]:
    """Say how many had left before a period, as that may make an arm look better in it.

    Parameters
    ----------
    shares
        Of the customers of each arm; without a period there are none.
    """
    if not any(shares.values()):
        return
    told = ", ".join(f"{100 * share:.1f} % of {name}" for name, share in shares.items())
    yield (
        f"Before this period had left: {told}. They count with what they bring now, and have not "
        "left again. So an arm that has lost more may look better; the lift of all days tells."
    )


def verdict(arms: Sequence[ArmView], pairs: Sequence[PairView], ratio: SampleRatio) -> str:
    """Say the result of an experiment: that of its first pair, if the arms can be trusted."""
    total = sum(arm.customers for arm in arms)
    if not total:
        return "Not enough yet: no decision has been asked for about any customer."
    if not ratio.trusted:
        sizes = ", ".join(
            f"{arm.arm} {arm.customers:,} ({arm.customers / total:.1%}, planned {arm.share:.1%})"
            for arm in arms
        )
        return (
            f"Do not trust the lift: the arms are not as large as the catalogue says: {sizes}. "
            "Were shares or salt changed, or does a channel ask for some of the customers only?"
        )
    if not pairs and any(arm.share for arm in arms[1:]):
        return "Not enough yet: no day of the period has come."
    if not pairs:
        return "There is nothing to compare with: the arms random and nobody have a share of 0."
    return pairs[0].verdict


def objective_sentence(domain: Domain) -> str:
    """Say what counts as the value of a customer, by the objective of the domain."""
    objective = domain.objective
    if not objective.shares(domain.events):
        margin = "no margin, as no event measures what is spent"
    elif isinstance(objective.margin, dict):
        parts = (f"{share:g} x {name}" for name, share in objective.margin.items())
        margin = f"the sum of {', '.join(parts)}"
    elif isinstance(objective.margin, str):
        margin = f"the sum of {objective.margin}"
    elif objective.margin == 1:
        margin = "all that is spent"
    else:
        margin = f"{100 * objective.margin:g} % of all that is spent"
    return f"The value of a customer: {margin}, less the costs of actions{_remaining(domain)}."


def _remaining(domain: Domain) -> str:
    rule = domain.objective.remaining_value
    if domain.churn is None or (rule.attribute is None and not rule.otherwise):
        return "; who leaves takes nothing else along"
    if rule.attribute is None:
        return f", less {rule.otherwise:g} {domain.currency.upper()} for each customer who left"
    times = "" if rule.times == 1 else f"{rule.times:g} x "
    other = f" ({rule.otherwise:g} where unknown)" if rule.otherwise else ""
    return f", less {times}{rule.attribute}{other} of each customer who left"
