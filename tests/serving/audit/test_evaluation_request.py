"""`nba evaluate` from the files that one brings: a log with probabilities, a policy, its gain."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from features.errors import InvalidSetting
from features.ledger import tables
from features.progress import quiet
from serving.audit.archive import Archive, keep_catalog
from serving.audit.evaluation_request import (
    CREDITED_ONLY,
    LEARNED,
    EvaluationRequest,
    EvaluationSources,
    RequestedEvaluation,
)
from serving.cli import steps
from serving.contract.events import OutcomeRequest
from serving.decide.outcomes import record_outcome
from serving.models.served_models import PRIOR
from tests.commands import Completed, environment, nba_in_process
from tests.decided import decided
from tests.serving.audit.test_judged_policy import learned_until, serial_of
from tests.serving.fake_registry import PARAMS, FakeRegistry, a_bandit
from tests.serving.fakes import FakeModels, changed, decide, engine_of

HOUR = timedelta(hours=1)
IMPORTED = {"served": False, "arm": None, "record": None, "answer": None, "features": None}
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)
CUSTOMERS, LOGGED = 900, 3_600
HALF = LOGGED // 2
ACTIONS = ("coffee", "tea", "water")
VALUE, COST = 10.0, 1.0
UNTIL = BEGIN + timedelta(hours=HALF)  # the second half is decided from then on

DOMAIN = {
    "name": "cafe",
    "currency": "eur",
    "channels": ["app"],
    "attributes": {"age_years": {"type": "number"}},
    "vocabulary": ["visit"],
    "half_lives_days": [7],
}


def catalog() -> dict:
    actions = {
        name: {
            "issue": "serve",
            "group": "service",
            "value": VALUE,
            "cost": COST,
            "prior": {"acceptance": 0.3, "weight": 10},
            "attribution_days": 2,
            "treatments": {"app": {"title": name}},
        }
        for name in ACTIONS
    }
    return {"outcomes": {"accepted": {"acceptance": 1}}, "actions": actions}


def chances(age: np.ndarray) -> np.ndarray:
    """The true acceptance of coffee, tea and water: the old like tea, the young coffee."""
    old = age > 50
    return np.column_stack(
        [np.where(old, 0.2, 0.5), np.where(old, 0.6, 0.2), np.full(len(age), 0.3)]
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> tuple[dict[str, str], pd.DataFrame]:
    """A home that has loaded a uniform log, and has trained a bandit on its first half."""
    folder = tmp_path_factory.mktemp("cafe")
    data = folder / "data"
    data.mkdir()
    (folder / "domain.yaml").write_text(yaml.safe_dump(DOMAIN), encoding="utf-8")
    (folder / "actions.yaml").write_text(yaml.safe_dump(catalog()), encoding="utf-8")
    rng = np.random.default_rng(17)
    ages = rng.integers(20, 80, CUSTOMERS)
    names = [f"c{number}" for number in range(CUSTOMERS)]
    pd.DataFrame({"customer_id": names, "age_years": ages}).to_csv(
        data / "customers.csv", index=False
    )
    who, taken = rng.integers(0, CUSTOMERS, LOGGED), rng.integers(0, 3, LOGGED)
    log = pd.DataFrame(
        {
            "decision_id": [f"d{number:04}" for number in range(LOGGED)],
            "customer_id": [names[one] for one in who],
            "decided_at": [
                (BEGIN + timedelta(hours=number)).isoformat() for number in range(LOGGED)
            ],
            "channel": "app",
            "action_id": [ACTIONS[one] for one in taken],
            "probability": 1 / 3,
        }
    )
    accepted = rng.random(LOGGED) < chances(ages[who])[np.arange(LOGGED), taken]
    log["probability"] = log["probability"].where(np.arange(LOGGED) % 50 > 0)  # some have none
    log.to_csv(data / "decisions.csv", index=False)
    told = log[accepted]
    outcomes = pd.DataFrame(
        {
            "decision_id": told["decision_id"],
            "outcome": "accepted",
            "occurred_at": told["decided_at"],
        }
    )
    outcomes.to_csv(data / "outcomes.csv", index=False)
    env = {
        "NBA_HOME": str(folder / "home"),
        "NBA_DOMAIN": str(folder / "domain.yaml"),
        "NBA_ACTIONS": str(folder / "actions.yaml"),
        "NBA_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "NBA_MLFLOW_ARTIFACTS": str(folder / "artifacts"),
    }
    for command in (
        ["load", str(data)],
        ["build"],
        ["train", "bandit", "--promote", "--until", UNTIL.isoformat()],
    ):
        done = nba_in_process(command, env)
        assert done.returncode == 0, done.stdout + done.stderr
    return env, log.assign(age=ages[who], accepted=accepted)


def evaluate(home, *options: str) -> Completed:
    return nba_in_process(["evaluate", *options], home[0])


def test_a_policy_is_judged_on_the_part_of_the_log_that_it_has_not_learned_from(home):
    """The log was uniform; the bandit has learned whom to offer what."""
    done = evaluate(home, "--policy", "champion", "--since", UNTIL.isoformat(), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    later = home[1][HALF:]
    judged = later[later["probability"].notna()]
    assert found["decisions"] == found["imported"] == len(judged)
    assert found["policy"]["version"] == "1" and found["policy"]["outcomes"] == 0
    left_out = f"{HALF - len(judged)} decisions are left out: they are imported without"
    assert any(left_out in one for one in found["remarks"])
    assert found["decided"] == pytest.approx(judged["accepted"].mean() * VALUE - COST)

    value, gain = truth(home)
    [robust] = [one for one in found["estimates"] if one["method"] == "doubly_robust"]
    assert robust["low"] < value < robust["high"]
    assert found["gain"]["low"] < gain < found["gain"]["high"]
    assert found["gain"]["low"] > 1 and found["verdict"].startswith("It would have earned more")


def truth(home) -> tuple[float, float]:
    """The true value of the champion a decision, and its true gain over the uniform policy."""
    env, log = home
    with environment(env):
        request = steps.requested_evaluation("champion", None, UNTIL, None, 20_000)
        replayed, _ = request.replayed(quiet)
    ages = replayed.contexts[:, -2]  # the last feature; the channel follows
    assert sorted(ages) == sorted(log["age"][HALF:][log["probability"].notna()[HALF:]])
    worth = np.column_stack([chances(ages) * VALUE - COST, np.zeros(len(ages))])
    assert replayed.actions == (*ACTIONS, "no_action")
    value = float((replayed.evaluated * worth).sum(axis=1).mean())
    return value, value - float(worth[:, :3].mean())


def test_a_policy_that_has_learned_from_the_log_is_refused_with_the_first_decision(home):
    done = evaluate(home, "--policy", "challenger")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    learned = home[1]["probability"].notna()[:HALF].sum()
    assert f"version 1 has learned from {learned:,} of the imported decisions to be judged" in said
    assert f"The first is 'd0001' of {(BEGIN + timedelta(hours=1)).isoformat()}." in said
    assert f"--since {(UNTIL - timedelta(hours=1, seconds=-1)).isoformat()}" in said
    assert "nba train bandit --until" in said


def test_a_catalogue_alone_is_judged_with_what_serves_and_the_text_says_it(home, tmp_path):
    other = catalog()
    del other["actions"]["tea"]
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(other), encoding="utf-8")
    refused = evaluate(home, "--catalog", str(path))
    assert refused.returncode == 2 and "policy is 'champion'" in refused.stderr
    done = evaluate(home, "--catalog", str(path), "--since", UNTIL.isoformat())
    assert done.returncode == 0, done.stderr
    assert "decisions are imported" in done.stdout and "tea" in done.stdout


# Own and imported decisions of a ledger, judged together --------------------------------------


class FakeHistory:
    """Nothing is known of anybody."""

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        return moments.assign(plan=None, age_years=None, state=None)


@pytest.fixture
def mixed(ledger, toy_domain, toy_catalog, tmp_path, now):
    """An imported decision each hour for 40 hours, then an own one each hour for 60 hours.

    An outcome is told of each discount that was shown, at once. Version 7 has learned from
    imported decisions before the first one, and is champion.
    """
    keep_catalog(ledger, toy_catalog, now)
    models = FakeModels(dict.fromkeys(toy_catalog.actions, 0.2), versions={"bandit": PRIOR})
    engine = engine_of(toy_catalog, toy_domain, ledger, {}, models)
    for number in range(100):
        at, name = now + number * HOUR, f"d{number}"
        if number < 40:
            taken = ("discount", "no_action")[number % 2]
            windows = {"discount": 14} if taken == "discount" else {}
            decided(ledger, name, at, windows, customer_id=f"c{number}", **IMPORTED)
        else:
            answer = decide(engine, at, customer_id=f"c{number}", decision_id=name)
            taken = answer.actions[0].action_id
        if taken == "discount":
            told = OutcomeRequest(decision_id=name, outcome="accepted", occurred_at=at)
            asyncio.run(record_outcome(told, ledger, toy_catalog, at))
    registry = FakeRegistry(tmp_path / "models")
    registry.promote("bandit", "7", replace(a_bandit(), imported_until=now - HOUR))
    return ledger, registry


@pytest.fixture
def asked(mixed, toy_domain, toy_catalog, now):
    def of(policy, since, lever=1.0, until=None, limit=None, **more):
        ledger, registry = mixed
        actions = toy_catalog.model_dump(mode="json", by_alias=True)["actions"]
        actions["discount"]["lever"] = lever
        archive = Archive(registry, ledger, toy_domain, PARAMS)
        sources = EvaluationSources(
            ledger, registry, archive, toy_domain, toy_catalog, PARAMS, FakeHistory
        )
        other = changed(toy_catalog, actions=actions, **more)
        request = EvaluationRequest(policy, other, since, until, limit)
        return RequestedEvaluation(sources, request, now + timedelta(days=60))

    return of


def told_before(ledger, at) -> int:
    told, decisions = tables.outcomes.c, tables.decisions
    query = sa.select(sa.func.count()).select_from(tables.outcomes)
    query = query.join(decisions, decisions.c.decision_id == told.decision_id)
    query = query.where(decisions.c.served, told.received_at < at)
    return ledger.read(lambda c: c.execute(query).scalar_one())


def test_own_and_imported_decisions_are_judged_together(asked, now):
    view = asked("7", now).view(quiet)
    assert (view.decisions, view.imported, view.policy.outcomes) == (100, 40, 0)
    assert view.policy.version == "7" and view.policy.told_before == now
    assert view.remarks[0].startswith("The policy judged is bandit version 7 with what was told")
    assert any(one.startswith("40 of the 100 decisions are imported") for one in view.remarks)
    assert CREDITED_ONLY not in view.remarks
    added = asked("7", now, limit=10, objective="added_value").view(quiet)
    assert added.remarks[-1] == CREDITED_ONLY


def test_a_policy_knows_what_was_told_before_the_first_decision_judged(asked, mixed, now):
    first_at = now + 70 * HOUR
    replayed, judged = asked("7", first_at).replayed(quiet)
    assert len(replayed.reward) == 30 and not replayed.imported.any()
    assert judged.at == first_at
    assert judged.told == told_before(mixed[0], first_at) > 0
    later = asked("7", now + 90 * HOUR).replayed(quiet)[1]
    assert later.bandit.state.counted > judged.bandit.state.counted > 10


def test_a_version_that_knows_imported_decisions_after_the_first_one_judged_is_named(
    asked, mixed, now
):
    until = now + 50 * HOUR
    mixed[1].promote("bandit", "8", replace(a_bandit(), imported_until=until))
    view = asked("8", now + 45 * HOUR).view(quiet)
    assert view.remarks[1].startswith(
        f"The version has learned from imported decisions up to {until.isoformat()}, which is"
    )


@pytest.mark.parametrize(("days", "said"), [(14, False), (13, True)])
def test_a_version_that_knows_what_followed_imported_decisions_later_is_named(
    asked, mixed, now, days, said
):
    """The longest window is of 14 days."""
    first_at = now + 45 * HOUR
    learned = replace(a_bandit(), imported_until=first_at - timedelta(days=days))
    mixed[1].promote("bandit", "8", learned)
    remarks = asked("8", first_at).view(quiet).remarks
    assert ("it would not have known all that followed" in remarks[1]) is said


def test_a_version_that_the_learner_logged_is_refused_on_what_it_has_learned_from(
    asked, mixed, now
):
    ledger, registry = mixed
    registry.promote("bandit", "9", learned_until(serial_of(ledger, "d50")))
    with pytest.raises(InvalidSetting) as refused:
        asked("9", now).replayed(quiet)
    said = "bandit version 9 has learned from 11 of the decisions to be judged. The first is 'd40'"
    assert said in str(refused.value)
    after = f"--since {(now + 50 * HOUR + timedelta(seconds=1)).isoformat()}"
    assert after in str(refused.value)
    replayed, _ = asked("9", now + 50 * HOUR + timedelta(seconds=1)).replayed(quiet)
    assert len(replayed.reward) == 49


def test_with_a_limit_the_newest_are_judged_and_what_was_told_before_them_is_known(
    asked, mixed, now
):
    replayed, judged = asked("7", now, limit=65).replayed(quiet)
    assert (len(replayed.reward), replayed.imported.sum()) == (65, 5)
    assert judged.at == now + 35 * HOUR


def test_a_catalogue_alone_judges_own_decisions_by_their_bandit_and_imported_by_the_champion(
    asked, mixed, now
):
    replayed, judged = asked(None, now, lever=3.0).replayed(quiet)
    assert (len(replayed.reward), replayed.imported.sum(), judged) == (100, 40, None)
    # The champion has learned from imported ones: those are left out, the own ones are judged.
    mixed[1].promote("bandit", "8", replace(a_bandit(), imported_until=now + 9 * HOUR))
    found = asked(None, now, lever=3.0).replayed(quiet)[0]
    assert (len(found.reward), found.imported.sum()) == (60, 0)
    assert found.left_out == {LEARNED: 10}
    with pytest.raises(InvalidSetting, match="version 8 has learned from 10 of the imported"):
        asked(None, now, until=now + 30 * HOUR).replayed(quiet)
    with pytest.raises(InvalidSetting, match="The first is 'd0'"):
        asked("8", now).replayed(quiet)


def test_without_a_champion_imported_ones_are_judged_by_the_priors_and_what_was_told(
    asked, mixed, now
):
    mixed[1].champions.clear()
    replayed, _ = asked(None, now).replayed(quiet)
    assert (len(replayed.reward), replayed.imported.sum()) == (100, 40)
