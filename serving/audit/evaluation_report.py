"""From the engine's run over the log to figures, a verdict, and what to bear in mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from features.business.catalog import NO_ACTION
from serving.audit.policy_evaluation import ReplayedLog
from serving.contract.evaluation import EstimateView, EvaluationView, ShareView
from training.evaluation.log import NoSupport
from training.evaluation.off_policy import Estimate, Log, compare, evaluate
from training.evaluation.reward_regression import cross_fitted, folds_of

CERTAIN = 0.95


def report_evaluation(trial: ReplayedLog, currency: str, seed: int) -> EvaluationView:
    """Estimate what the wanted policy would have earned, and whether that is more.

    Parameters
    ----------
    seed : int
        Of the reward model's folds.
    """
    n, remarks = len(trial.reward), list(_remarks(trial))
    customers = len(set(trial.customers))
    if not n:
        verdict = "Not enough support: there is no decision of that time that can be judged."
        return EvaluationView(
            currency=currency, decisions=0, customers=0, decided=None, estimates=[], gain=None,
            shares=[], verdict=verdict, remarks=remarks,
        )  # fmt: skip
    log = _log(trial)
    expected = _expected(trial, log, seed)
    found = evaluate(log, trial.wanted, expected, level=CERTAIN)
    more = compare(log, trial.wanted, None, expected, level=CERTAIN)
    gain = more.get("doubly_robust", more["snips"])
    return EvaluationView(
        currency=currency,
        decisions=n,
        customers=customers,
        decided=float(trial.reward.mean()),
        estimates=[_view(method, one) for method, one in found.items()],
        gain=_view("doubly_robust" if expected is not None else "snips", gain),
        shares=_shares(trial),
        verdict=_verdict(gain, currency.upper()),
        remarks=remarks,
    )


def _log(trial: ReplayedLog) -> Log:
    rows = np.arange(len(trial.reward))
    return Log(
        reward=trial.reward,
        action=trial.action.astype(np.int64),
        logged_probability=trial.logged[rows, trial.action],
        subject=np.array(trial.customers),
        allowed=trial.logged > 0,
    )


def _expected(trial: ReplayedLog, log: Log, seed: int) -> np.ndarray | None:
    """What a model expects that has not seen the customer; None where there are too few of them."""
    if len(np.unique(folds_of(log, seed=seed))) < 2:
        return None
    return cross_fitted(trial.contexts, log, len(trial.actions), seed=seed)


def _view(method: str, found: Estimate | NoSupport) -> EstimateView:
    if isinstance(found, NoSupport):
        effective = found.effective_decisions
        return EstimateView(
            method=method, value=None, low=None, high=None, effective_decisions=effective,
            note=found.reason,
        )  # fmt: skip
    return EstimateView(
        method=method, value=found.value, low=found.low, high=found.high,
        effective_decisions=found.effective_decisions, note=found.note,
    )  # fmt: skip


def _shares(trial: ReplayedLog) -> list[ShareView]:
    decided = np.bincount(trial.action, minlength=len(trial.actions)) / len(trial.action)
    wanted = trial.wanted.mean(axis=0)
    rows = zip(trial.actions, decided.tolist(), wanted.tolist(), strict=True)
    found = [
        ShareView(action_id=name, decided=was, wanted=would)
        for name, was, would in rows
        if was or would
    ]
    return sorted(found, key=lambda one: (one.action_id == NO_ACTION, -one.wanted))


def _verdict(gain: Estimate | NoSupport, unit: str) -> str:
    if isinstance(gain, NoSupport):
        return f"Not enough support: {gain.reason}"
    said = f"{gain.value:+.3f} {unit} a decision ({gain.low:+.3f} to {gain.high:+.3f})"
    if gain.low > 0:
        return f"It would have earned more: {said}."
    if gain.high < 0:
        return f"It would have earned less: {said}."
    return f"Not certain: {said}, which may well be 0."


def _remarks(trial: ReplayedLog) -> Iterator[str]:
    left_out: Mapping[str, int] = trial.left_out
    for why, count in left_out.items():
        yield f"{count:,} decisions are left out: {why}."
    yield (
        "One decision at a time is judged: what customers had been shown before, and what was "
        "spent, is what the log says. Rewards are counted under the catalogue of now."
    )
