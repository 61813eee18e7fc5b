"""Reports the lift: what customers bring under the policy more than in the other arms."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.clock import monotonic_s
from features.errors import LedgerDown
from features.ledger.ledger import Ledger
from features.rewards.kept_rows import KeptRows
from features.rewards.reward_steps import RewardRules, sum_rewards
from serving.audit.lift.credited import view_credited_lift
from serving.contract.lift import LiftRequest, LiftView, SampleRatio

# Before a lift is read, so many steps sum what came since the last one, for so long at most.
MAX_STEPS, STEPS_WITHIN_S = 16, 0.1


def sum_before_lift(
    ledger: Ledger, rules: RewardRules, lead: bool, steps: int, within_s: float
) -> None:
    """Sum rewards that came since the last step of the background; see `sum_rewards`.

    If the ledger cannot be written now, they are left to the background.
    """
    begun = monotonic_s()
    with suppress(LedgerDown):
        for _ in range(steps):
            if not sum_rewards(ledger, rules, lead=lead) or monotonic_s() - begun > within_s:
                return


def view_lift(
    request: LiftRequest,
    ledger: Ledger,
    catalog: Catalog,
    domain: Domain,
    now: datetime,
    lead: bool = True,
    kept: KeptRows | None = None,
) -> LiftView:
    """Compare the arms, under the current catalogue and with what is known now.

    Parameters
    ----------
    lead : bool
        False in a server, in which the background of the first worker leads; see `sum_rewards`.
    kept
        In a server: the rows that were read for earlier requests.
    """
    sum_before_lift(ledger, RewardRules.of(catalog, domain), lead, MAX_STEPS, STEPS_WITHIN_S)
    credited = view_credited_lift(request, ledger, catalog, domain.currency, now, kept)
    return LiftView(
        currency=domain.currency,
        objective="",
        horizon_days=28,
        arms=[],
        pairs=[],
        sample_ratio=SampleRatio(expected={}, found={}, p_value=None, trusted=True),
        merged_across_arms=0,
        verdict="Not enough yet: no customer has been met since there are three arms.",
        remarks=[],
        credited=credited,
    )
