"""Reports an off-policy evaluation: estimates, a verdict, and remarks on their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from features.business.catalog import NO_ACTION
from serving.audit.replayed_log import ReplayedLog
from serving.contract.evaluation import EstimateView, EvaluationView, ShareView
from training.arrays import Bools
from training.evaluation.log import NoSupport
from training.evaluation.off_policy import Estimate, Log, Method, compare, evaluate
from training.evaluation.reward_regression import cross_fitted, folds_of

CONFIDENCE = 0.95  # level of the intervals


def report_evaluation(replayed: ReplayedLog, currency: str, seed: int) -> EvaluationView:
    """Estimate the reward of the evaluated policy, and its gain over the policy that decided.

    Parameters
    ----------
    currency : str
        Currency of the domain, for the sentences.
    seed : int
        Seed of the folds of the reward regression.
    """
    n, remarks = len(replayed.reward), list(_remarks(replayed))
    customers = len(set(replayed.customers))
    if not n:
        verdict = "Not enough support: there is no decision of that time that can be evaluated."
        return EvaluationView(
            currency=currency,
            decisions=0,
            customers=0,
            several_slots=0,
            decided=None,
            estimates=[],
            gain=None,
            shares=[],
            verdict=verdict,
            remarks=remarks,
        )
    log = _log(replayed)
    expected = _expected(replayed, log, seed)
    found = evaluate(log, replayed.evaluated, expected, level=CONFIDENCE)
    gain = _gain(replayed, log, expected)
    return EvaluationView(
        currency=currency,
        decisions=n,
        imported=int(replayed.imported.sum()),
        customers=customers,
        several_slots=replayed.several_slots,
        decided=float(replayed.reward.mean()),
        estimates=[_view(method, estimate) for method, estimate in found.items()],
        gain=gain,
        shares=_shares(replayed),
        verdict=_verdict(replayed, gain, currency.upper()),
        remarks=remarks,
    )


def _log(replayed: ReplayedLog) -> Log:
    rows = np.arange(len(replayed.reward))
    return Log(
        reward=replayed.reward,
        action=replayed.action.astype(np.int64),
        logged_probability=replayed.logged[rows, replayed.action],
        subject=np.array(replayed.customers),
        allowed=_allowed(replayed),
    )


def _allowed(replayed: ReplayedLog) -> Bools:
    """The actions that could be drawn, shape (n, n_actions).

    In an imported log, those that it took on any channel: nothing else is known of it.
    """
    imported = replayed.imported
    taken = np.isin(np.arange(len(replayed.actions)), replayed.action[imported])
    allowed: Bools = (replayed.logged > 0) | (imported[:, None] & taken)
    return allowed


def _expected(replayed: ReplayedLog, log: Log, seed: int) -> np.ndarray | None:
    """Expected rewards by cross-fitting: no model has seen the customer. None with one fold."""
    if len(np.unique(folds_of(log, seed=seed))) < 2:
        return None
    return cross_fitted(replayed.contexts, log, len(replayed.actions), seed=seed)


def _best_method(expected: np.ndarray | None) -> Method:
    return "snips" if expected is None else "doubly_robust"


def _gain(replayed: ReplayedLog, log: Log, expected: np.ndarray | None) -> EstimateView:
    """The gain over the policy that decided: paired, so what both would choose cancels out."""
    method = _best_method(expected)
    if _same(replayed):  # 0 for each decision: known however few decisions there are
        return EstimateView(
            method=method,
            value=0.0,
            low=0.0,
            high=0.0,
            effective_decisions=float(len(log.reward)),
            note="",
        )
    found = compare(
        log,
        replayed.evaluated,
        replayed.decided,
        expected,
        as_logged=replayed.imported,
        level=CONFIDENCE,
    )
    return _view(method, found[method])


def _same(replayed: ReplayedLog) -> bool:
    return np.array_equal(replayed.evaluated, replayed.decided)


def _view(method: str, found: Estimate | NoSupport) -> EstimateView:
    if isinstance(found, NoSupport):
        effective = found.effective_decisions
        return EstimateView(
            method=method,
            value=None,
            low=None,
            high=None,
            effective_decisions=effective,
            note=found.reason,
        )
    return EstimateView(
        method=method,
        value=found.value,
        low=found.low,
        high=found.high,
        effective_decisions=found.effective_decisions,
        note=found.note,
    )


def _shares(replayed: ReplayedLog) -> list[ShareView]:
    decided = np.bincount(replayed.action, minlength=len(replayed.actions)) / len(replayed.action)
    evaluated = replayed.evaluated.mean(axis=0)
    rows = zip(replayed.actions, decided.tolist(), evaluated.tolist(), strict=True)
    found = [
        ShareView(action_id=name, decided=logged, wanted=share)
        for name, logged, share in rows
        if logged or share
    ]
    return sorted(found, key=lambda share: (share.action_id == NO_ACTION, -share.wanted))


def _verdict(replayed: ReplayedLog, gain: EstimateView, unit: str) -> str:
    if gain.value is None or gain.low is None or gain.high is None:
        return f"Not enough support: {gain.note}"
    text = f"{gain.value:+.3f} {unit} a decision ({gain.low:+.3f} to {gain.high:+.3f})"
    if _same(replayed):
        return f"It is the policy that decided: {text}."
    if gain.low > 0:
        return f"It would have earned more: {text}."
    if gain.high < 0:
        return f"It would have earned less: {text}."
    return f"Not certain: {text}, which may well be 0."


def _remarks(replayed: ReplayedLog) -> Iterator[str]:
    left_out: Mapping[str, int] = replayed.left_out
    for why, count in left_out.items():
        yield f"{count:,} decisions are left out: {why}."
    for note, count in replayed.notes.items():
        yield f"Of {count:,} decisions, {note}."
    if replayed.several_slots:
        yield (
            f"{replayed.several_slots:,} decisions have more than one slot: only the first slot is "
            "judged, beside what stood in the others."
        )
    imported = int(replayed.imported.sum())
    if imported:
        yield (
            f"{imported:,} of the {len(replayed.reward):,} decisions are imported. For those, the "
            "policy decides by the features, contacts and consents of then, with the models of "
            "churn and intent of today, and without volumes and budgets. It is compared with what "
            "was done, as only the probability of the action taken is known."
        )
    yield (
        "Each decision is evaluated by itself: earlier contacts and spending are those of the log. "
        "Rewards are counted under the current catalogue."
    )
