"""A logged decision is repeated with another setup, and always in the arm of the policy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from features.ledger.tables import EPOCH
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import keep_catalog
from serving.audit.logged_decisions import LoggedDecisions, Period
from serving.audit.repetition import EvaluationTarget, Repetition, believed
from serving.audit.replayed_log import NEAREST, UNSPENT
from tests.serving.fakes import (
    NO_ARMS,
    FakeArchive,
    FakeModels,
    changed,
    decide,
    engine_of,
    models_of,
)
from training.effects.effect_prediction import EffectPrediction


@pytest.fixture
def catalog(toy_catalog):
    return changed(toy_catalog, arms={"random": 0.5, "nobody": 0})


@pytest.fixture
def archive(toy_domain, ledger):
    return FakeArchive(toy_domain, ledger)


@pytest.fixture
def logged(toy_domain, catalog, ledger, archive, now):
    """Decisions of thirty customers, about half of them in the control group."""
    keep_catalog(ledger, catalog, now)
    engine = engine_of(catalog, toy_domain, ledger, {}, models_of(catalog, "1"))
    for number in range(30):
        decide(engine, now, customer_id=f"c{number}", decision_id=f"d{number}")
    read = LoggedDecisions(ledger, archive, catalog, Counter()).read
    [found] = read(Period(EPOCH, None), now.replace(year=now.year + 1))
    assert {one.row.arm for one in found} == {"policy", "random"}
    return found


def test_the_policy_that_decided_is_known_from_the_log_and_repeated_for_the_control_group(
    ledger, archive, catalog, logged
):
    repetition = Repetition(ledger, archive, EvaluationTarget(catalog, {}))
    of_arm = {one.row.arm: repetition.decided(one).chances for one in logged}
    # All customers are alike: what the policy gives those of its own arm, it gives all.
    assert of_arm["random"] == of_arm["policy"]
    control = next(one for one in logged if one.row.arm == "random")
    uniform = set(control.logged.values())
    assert len(uniform) == 1
    assert len(set(of_arm["random"].values())) > 1


@pytest.mark.parametrize("same", [{}, {"arms": NO_ARMS}, {"attribution": "even"}])
def test_the_same_policy_has_the_same_probabilities_to_the_last_digit(
    ledger, archive, catalog, logged, same
):
    repetition = Repetition(ledger, archive, EvaluationTarget(changed(catalog, **same), {}))
    for one in logged:
        assert repetition.evaluated(one).chances == repetition.decided(one).chances


def test_the_policy_that_decided_is_evaluated_without_its_models(ledger, archive, catalog, logged):
    archive.lost = ("1",)
    repetition = Repetition(ledger, archive, EvaluationTarget(catalog, {}))
    one = next(one for one in logged if one.row.arm == "policy")
    assert repetition.evaluated(one).chances == one.logged


def test_another_version_decides_in_place_of_the_logged_one(ledger, archive, catalog, logged):
    repetition = Repetition(ledger, archive, EvaluationTarget(catalog, {"bandit": "9"}))
    assert all(repetition.evaluated(one) != repetition.decided(one) for one in logged)


def test_the_windows_are_those_of_all_candidates_of_all_three_policies(
    ledger, archive, catalog, logged
):
    actions = catalog.model_dump(mode="json", by_alias=True)["actions"]
    longer = {name: one | {"attribution_days": 77.0} for name, one in actions.items()}
    repetition = Repetition(ledger, archive, EvaluationTarget(changed(catalog, actions=longer), {}))
    one = logged[0]
    candidates = set(one.logged) - {"no_action"}
    mine = {catalog.actions[name].attribution_days for name in candidates}
    found = repetition.windows(one, {"no_action": 1.0}, {"discount": 0.5, "no_action": 0.5})
    assert set(found) == {*mine, 77.0}
    assert max(mine) < 77


def test_a_candidate_is_as_it_was_believed_and_another_as_the_models_say(
    toy_domain, toy_catalog, ledger, now
):
    keep_catalog(ledger, toy_catalog, now)
    models = FakeModels({"call_back": 0.3, "discount": 0.2, "talk_plus": 0.1}, gamma=0.2)
    engine = engine_of(toy_catalog, toy_domain, ledger, {}, models)
    decide(engine, now, decision_id="d1", exclude=["discount"])
    archive = FakeArchive(toy_domain, ledger)
    read = LoggedDecisions(ledger, archive, toy_catalog, Counter()).read
    [[one]] = read(Period(EPOCH, None), now.replace(year=now.year + 1))
    asked = FakeModels(dict.fromkeys(toy_catalog.actions, 0.07))
    setup = archive.setup(toy_catalog, {"bandit": "1"}).with_models(asked)
    (prediction, *_), known = believed(one, changed(toy_catalog, attribution="even"), setup)
    assert prediction.acceptance.tolist() == [0.3, 0.07, 0.07]
    assert known == {"call_back"}
    # Another prior than then is not what was believed.
    actions = toy_catalog.model_dump(mode="json", by_alias=True)["actions"]
    actions["call_back"]["prior"]["acceptance"] = 0.31
    (prediction, *_), known = believed(one, changed(toy_catalog, actions=actions), setup)
    assert prediction.acceptance[0] == 0.07 and not known


def test_what_the_nearest_snapshot_was_asked_of_is_said(ledger, archive, catalog, logged):
    """All candidates but talk_plus, which is not for the app, were believed in."""
    archive.stand_in = lambda catalog, versions: "the newest kept snapshot"
    actions = catalog.model_dump(mode="json", by_alias=True)["actions"]
    actions["talk_plus"]["treatments"] = actions["discount"]["treatments"]
    wider = changed(catalog, actions=actions)
    for target, notes in ((wider, [NEAREST]), (changed(catalog, attribution="even"), [])):
        repetition = Repetition(ledger, archive, EvaluationTarget(target, {}))
        assert {tuple(repetition.evaluated(one).notes) for one in logged} == {tuple(notes)}


def _id(one):
    return one.row.decision_id


def _young(one):
    return _id(one).startswith("young")


def paced(catalog, eligibility):
    """The discount is limited to 2 a day, and to some customers."""
    actions = catalog.model_dump(mode="json", by_alias=True)["actions"]
    discount = {"volume": {"at_most": 2}, "eligibility": eligibility}
    changes = {"call_back": actions["call_back"], "discount": actions["discount"] | discount}
    return changed(catalog, actions=changes, arms={"random": 0, "nobody": 0})


def test_a_volume_that_the_decision_did_not_read_stands_as_others_read_it_before(
    toy_domain, catalog, ledger, archive, now
):
    """Nobody under 30 gets the discount, so their decisions do not read how many are left."""
    logged_by = paced(catalog, ["age_years >= 30"])
    keep_catalog(ledger, logged_by, now)
    old = {f"old{number}": CustomerFeatures({"age_years": "40"}, None) for number in range(60)}
    young = {f"young{number}": CustomerFeatures({"age_years": "20"}, None) for number in range(60)}
    engine = engine_of(logged_by, toy_domain, ledger, old | young, models_of(logged_by, "1"))
    shown, before = 0, {}
    for number in range(60):
        at = now + timedelta(minutes=13 * number)
        for who in ("young", "old"):
            before[f"{who}{number}"] = shown
            asked = {"customer_id": f"{who}{number}", "decision_id": f"{who}{number}"}
            answer = decide(engine, at + timedelta(minutes=who == "old"), **asked)
            shown += answer.actions[0].action_id == "discount"
    assert shown == 2
    [found] = LoggedDecisions(ledger, archive, logged_by, Counter()).read(
        Period(EPOCH, None), now.replace(year=now.year + 1)
    )
    first = min(one.row.decided_at for one in found if one.record["paces"])
    wider = Repetition(ledger, archive, EvaluationTarget(paced(catalog, []), {}))
    for one in found:
        name = _id(one)
        repeated = wider.evaluated(one)
        if before[name] == 2:
            assert "discount" not in repeated.chances
        if _young(one):
            assert one.record["paces"] == {}
            assert (UNSPENT in repeated.notes) == (one.row.decided_at < first)
    between = [one for one in found if first <= one.row.decided_at and before[_id(one)] == 1]
    assert any("discount" in wider.evaluated(one).chances for one in between if _young(one))


def test_the_effects_that_were_believed_count_for_another_bandit_too(
    toy_domain, toy_catalog, ledger, archive, now
):
    added = changed(toy_catalog, arms=NO_ARMS, objective="added_value", no_action_share=0.1)
    keep_catalog(ledger, added, now)
    nothing, purchases = np.zeros(3), np.array([0.0, 1e9, 0.0])
    models = replace(
        models_of(added, "1"), effects=EffectPrediction(purchases, nothing, nothing, nothing)
    )
    decide(engine_of(added, toy_domain, ledger, {}, models), now, decision_id="d1")
    read = LoggedDecisions(ledger, archive, added, Counter()).read
    [[one]] = read(Period(EPOCH, None), now.replace(year=now.year + 1))
    found = Repetition(ledger, archive, EvaluationTarget(added, {"bandit": "2"})).evaluated(one)
    assert found.chances["discount"] == pytest.approx(0.9, abs=1e-6)
    assert found.chances["no_action"] == pytest.approx(0.1)
