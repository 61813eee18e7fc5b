"""The engine run over the log: what another catalogue or policy would have earned."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest

from features.ledger import tables
from features.ledger.tables import EPOCH
from features.progress import quiet
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import keep_catalog
from serving.audit.evaluation_report import report_evaluation
from serving.audit.logged_decisions import (
    LEFT_ALONE,
    NOT_ANSWERED,
    NOT_LOGGED,
    OPEN,
    OTHER_LAYOUT,
)
from serving.audit.policy_evaluation import Evaluation
from serving.audit.repetition import EvaluationTarget
from serving.audit.replayed_log import GONE
from serving.contract.events import OutcomeRequest
from serving.decide.outcomes import record_outcome
from tests.features.live import add, person
from tests.serving.fakes import FakeArchive, changed, decide, engine_of, models_of

ACCEPTS = {"call_back": 0.2, "discount": 0.5, "no_action": 0.0}  # what customers really do
LATER = timedelta(days=40)
RULES = {"arms": {"random": 0.3, "nobody": 0}}


@pytest.fixture
def catalog(toy_catalog):
    return changed(toy_catalog, **RULES)


@pytest.fixture
def engine(toy_domain, catalog, ledger, now):
    keep_catalog(ledger, catalog, now)
    known = {f"c{number}": CustomerFeatures({"plan": "plus"}, None) for number in range(400)}
    return engine_of(catalog, toy_domain, ledger, known, models_of(catalog, "1"))


@pytest.fixture
def evaluation(toy_domain, catalog, ledger):
    archive = FakeArchive(toy_domain, ledger)
    return Evaluation(ledger, archive, catalog, toy_domain.channels)


def lived(engine, now, count=400, **fields):
    """Decisions for as many customers, each with what they said to it."""
    rng = np.random.default_rng(20261127)
    catalog, answers = engine.setup.compiled.catalog, []
    for number in range(count):
        at = now + timedelta(minutes=number)
        answer = decide(engine, at, customer_id=f"c{number}", decision_id=f"d{number}", **fields)
        answers.append(answer)
        name = answer.actions[0].action_id
        if name != "no_action" and answer.activated:
            said = "accepted" if rng.random() < ACCEPTS[name] else "rejected"
            told = {"decision_id": answer.decision_id, "outcome": said, "occurred_at": at}
            request = OutcomeRequest.model_validate(told | {"action_id": name})
            asyncio.run(record_outcome(request, engine.ledger, catalog, at))
    return answers


def run(evaluation, catalog, now, versions=None, **changes):
    inputs = {"since": EPOCH, "until": None, "limit": None} | changes
    return evaluation.run(
        EvaluationTarget(catalog, versions or {}), now + LATER, report=quiet, **inputs
    )


def truth(trial, catalog):
    """The true mean reward per decision of the evaluated policy, from the customers' real rates."""
    worth = [
        0.0
        if name == "no_action"
        else ACCEPTS.get(name, 0) * catalog.actions[name].value - catalog.actions[name].cost
        for name in trial.actions
    ]
    return float((trial.evaluated @ np.array(worth)).mean())


def test_the_same_catalogue_and_models_would_decide_as_was_decided(engine, evaluation, now):
    lived(engine, now, 60)
    trial = run(evaluation, engine.setup.compiled.catalog, now)
    assert len(trial.reward) == 60
    policy = ~np.isclose(trial.logged.max(axis=1), 1 / 3)  # the others are the control group's
    assert 0 < policy.sum() < 60
    assert np.array_equal(trial.logged[policy], trial.evaluated[policy])
    assert trial.evaluated.sum(axis=1) == pytest.approx(1, abs=1e-12)


def test_rewards_are_what_followed_the_first_action_less_its_cost(engine, evaluation, now):
    lived(engine, now, 60, slots=2)
    trial = run(evaluation, engine.setup.compiled.catalog, now)
    catalog = engine.setup.compiled.catalog
    for name in ("call_back", "discount"):
        action = catalog.actions[name]
        mine = trial.reward[trial.action == trial.actions.index(name)]
        assert set(mine.tolist()) == {-action.cost, action.value - action.cost}
    assert set(trial.reward[trial.action == trial.actions.index("no_action")].tolist()) <= {0.0}


OTHERS = [
    ({"discount": {"lever": 30.0}}, "discount"),
    ({"call_back": {"lever": 30.0}}, "call_back"),
    ({"call_back": {"eligibility": ["age_years > 99"]}}, "discount"),
]


@pytest.mark.slow
def test_another_lever_or_rule_is_evaluated_right_in_a_world_we_know(
    engine, evaluation, catalog, now
):
    lived(engine, now, 300)
    actions = catalog.model_dump(mode="json")["actions"]
    for other, more in OTHERS:
        wanted = changed(catalog, actions={n: a | other.get(n, {}) for n, a in actions.items()})
        trial = run(evaluation, wanted, now)
        view = report_evaluation(trial, "eur", seed=7)
        share = {one.action_id: (one.decided, one.wanted) for one in view.shares}
        assert share[more][1] > share[more][0]
        found = {one.method: one for one in view.estimates}["doubly_robust"]
        # 4 standard errors of a mean; a half-width of the 95 % interval is 2 of them.
        half = (found.high - found.low) / 2
        assert found.value == pytest.approx(truth(trial, catalog), abs=2 * half)
        assert half < 1  # the test can fail: rewards range over 11


def test_another_version_of_the_bandit_is_asked_in_place_of_the_logged_one(
    engine, evaluation, catalog, now
):
    lived(engine, now, 60)
    as_logged, other = run(evaluation, catalog, now), run(evaluation, catalog, now, {"bandit": "9"})
    assert not np.allclose(as_logged.evaluated, other.evaluated)
    assert np.array_equal(as_logged.logged, other.logged)


def test_a_cap_that_looks_further_back_than_the_record_reads_the_ledger(
    engine, evaluation, catalog, now
):
    shown = []
    for number in range(12):
        at = now + timedelta(days=number)
        answer = decide(engine, at, decision_id=f"d{number}", actions=["discount"])
        shown.append(answer.actions[0].action_id == "discount")
    before = np.cumsum(shown) - shown
    wanted = changed(catalog, contact_policy={"caps": [{"at_most": 2, "days": 30}]})
    trial = run(evaluation, wanted, now)
    allowed = trial.evaluated[::-1, trial.actions.index("discount")] > 0  # the newest come first
    assert allowed.tolist() == (before < 2).tolist()
    assert 0 < allowed.sum() < 12


@pytest.mark.parametrize("logged", [{"days": 30}, {"days": 30, "per": "account"}])
@pytest.mark.parametrize(
    "wanted",
    [
        {"caps": [{"at_most": 3, "days": 20, "per": "account"}]},
        {"cool_downs": [{"after_showings": 3, "days": 2, "per": "account"}]},
    ],
    ids=["cap", "cool_down"],
)
def test_a_rule_per_account_counts_the_contacts_of_colleagues_before_each_decision(
    toy_domain, evaluation, catalog, ledger, now, logged, wanted
):
    add(ledger, tables.customers, person("c1", "acme"), person("c2", "acme"), person("c3"))
    logged_by = changed(catalog, contact_policy={"caps": [{"at_most": 99, **logged}]})
    keep_catalog(ledger, logged_by, now)
    engine = engine_of(logged_by, toy_domain, ledger, {}, models_of(logged_by, "1"))
    allowed, shown, firsts = [], {"acme": 0, "alone": 0}, []
    for number in range(18):
        who = f"c{1 + number % 3}"
        at, whose = now + timedelta(hours=number), "alone" if who == "c3" else "acme"
        answer = decide(engine, at, customer_id=who, decision_id=f"d{number}", actions=["discount"])
        allowed.append(shown[whose] < 3)
        shown[whose] += answer.actions[0].action_id == "discount"
        if shown[whose] == 1 and answer.actions[0].action_id == "discount":
            firsts.append(answer.decision_id)
    for name in firsts:  # a reaction that no decision knew of
        said = OutcomeRequest(decision_id=name, outcome="accepted")
        asyncio.run(record_outcome(said, ledger, catalog, now + timedelta(hours=18)))
    trial = run(evaluation, changed(catalog, contact_policy=wanted), now)
    found = trial.evaluated[::-1, trial.actions.index("discount")] > 0
    assert found.tolist() == allowed
    assert 0 < found.sum() < 18


def test_a_policy_that_wants_what_the_log_never_took_gets_no_number(
    engine, evaluation, catalog, now
):
    lived(engine, now, 100)
    actions = catalog.model_dump(mode="json")["actions"]
    new = actions["discount"] | {"value": 500.0}
    wanted = changed(catalog, actions={"call_back": actions["call_back"], "new_one": new})
    view = report_evaluation(run(evaluation, wanted, now), "eur", seed=7)
    assert view.verdict.startswith("Not enough support: ")
    assert view.gain.value is None
    assert all(one.value is None for one in view.estimates)


def test_what_cannot_be_evaluated_is_left_out_and_counted(engine, evaluation, catalog, now):
    lived(engine, now, 10)
    decide(engine, now + LATER, decision_id="open", actions=["discount"], exclude=["no_action"])
    trial = run(evaluation, catalog, now)
    assert trial.left_out == {OPEN: 1}
    assert len(trial.reward) == 10
    wanted = changed(catalog, attribution="even")
    evaluation._archive.lost = ("1",)
    assert run(evaluation, wanted, now).left_out == {OPEN: 1, NOT_LOGGED: 10}
    evaluation._archive.fingerprint = "another"
    assert run(evaluation, wanted, now).left_out == {OTHER_LAYOUT: 11}


@pytest.mark.parametrize(
    ("eligibility", "judged"), [([], 0), (["age_years > 99"], 10)], ids=["candidate", "excluded"]
)
def test_a_decision_is_open_while_a_window_of_a_candidate_of_the_evaluated_catalogue_is(
    engine, evaluation, catalog, now, eligibility, judged
):
    """The logged windows, of 14 days, have closed; the evaluated discount has one of 60 days."""
    lived(engine, now, 10)
    actions = catalog.model_dump(mode="json")["actions"]
    longer = {"attribution_days": 60.0, "eligibility": eligibility}
    wanted = changed(catalog, actions=actions | {"discount": actions["discount"] | longer})
    found = run(evaluation, wanted, now)
    assert len(found.reward) == judged
    assert found.left_out == ({OPEN: 10} if not judged else {})


def test_a_decision_is_judged_from_the_end_of_the_last_window_on(engine, evaluation, catalog, now):
    decide(engine, now, decision_id="d1")
    actions = catalog.model_dump(mode="json")["actions"]
    longer = actions["discount"] | {"attribution_days": 60.0}
    target = EvaluationTarget(changed(catalog, actions=actions | {"discount": longer}), {})
    end = now + timedelta(days=60)
    for at, judged in ((end - timedelta(microseconds=1), 0), (end, 1)):
        assert len(evaluation.run(target, at, EPOCH, None, None, quiet).reward) == judged


def test_decisions_in_the_arm_nobody_are_left_out_and_counted(engine, catalog, now, toy_domain):
    arms = {"random": 0.3, "nobody": 0.3}
    left_alone = changed(catalog, arms=arms, groups={"service": {"kind": "service"}})
    keep_catalog(engine.ledger, left_alone, now)
    known = {f"c{number}": CustomerFeatures({"plan": "plus"}, None) for number in range(100)}
    models = models_of(left_alone, "1")
    answers = lived(engine_of(left_alone, toy_domain, engine.ledger, known, models), now, count=100)
    counts = Counter(answer.arm for answer in answers)
    archive = FakeArchive(toy_domain, engine.ledger)
    judge = Evaluation(engine.ledger, archive, left_alone, toy_domain.channels)
    trial = run(judge, left_alone, now)
    assert counts["nobody"] > 10 and trial.left_out == {LEFT_ALONE: counts["nobody"]}
    assert len(trial.reward) == counts["policy"] + counts["random"]
    # In the arm random the policy that decided has other chances than those logged.
    drawn_evenly = np.isclose(trial.logged.max(axis=1), 1 / 3)
    assert (trial.decided != trial.logged)[drawn_evenly].any(axis=1).all()
    assert (trial.decided == trial.logged)[~drawn_evenly].all()


def test_a_request_that_the_evaluated_catalogue_refuses_is_left_out_and_counted(
    engine, evaluation, catalog, now
):
    lived(engine, now, 10)
    decide(engine, now, customer_id="c11", decision_id="named", actions=["discount", "talk_plus"])
    actions = catalog.model_dump(mode="json")["actions"]
    del actions["talk_plus"]
    found = run(evaluation, changed(catalog, actions=actions), now)
    assert found.left_out == {NOT_ANSWERED: 1}
    assert len(found.reward) == 10


def test_an_action_that_the_current_catalogue_does_not_have_is_said_to_earn_nothing(
    toy_domain, engine, catalog, ledger, now
):
    answers = lived(engine, now, 30)
    drawn = sum(one.actions[0].action_id == "discount" for one in answers)
    actions = catalog.model_dump(mode="json")["actions"]
    del actions["discount"]
    today = changed(catalog, actions=actions)
    archive = FakeArchive(toy_domain, ledger)
    found = run(Evaluation(ledger, archive, today, toy_domain.channels), catalog, now)
    assert found.notes == {GONE: drawn}
    assert not found.reward[found.action == found.actions.index("discount")].any()
    remarks = report_evaluation(found, "eur", seed=7).remarks
    assert f"Of {drawn} decisions, {GONE}." in remarks


def test_the_period_and_the_limit_choose_which(engine, evaluation, catalog, now):
    lived(engine, now, 20)
    at = now + timedelta(minutes=15)
    assert len(run(evaluation, catalog, now, since=at).reward) == 5
    assert len(run(evaluation, catalog, now, until=at).reward) == 15
    assert run(evaluation, catalog, now, limit=3).customers == ("c19", "c18", "c17")


def test_of_nothing_the_answer_is_a_sentence(evaluation, catalog, now):
    view = report_evaluation(run(evaluation, catalog, now), "eur", seed=7)
    assert view.verdict.startswith("Not enough support: there is no decision")
    assert view.decided is None
