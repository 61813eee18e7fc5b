"""Tests that a version is judged as a learner would have published it that stopped at a time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from features.errors import NotRepeatable
from features.ledger import tables
from features.outcomes.delay_epochs import shares_unseen
from serving.audit.would_serve import NamedBandit, PastLearner, newest_learned
from serving.learn.learner import Learner
from serving.models.served_models import PRIOR
from tests.bandits import PLAIN, outcomes, plain
from tests.serving.learn.test_learner import DAY, HOUR, PARAMS, Shop
from training.bandit import posteriors
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState
from training.bandit.encoder import Encoder
from training.params import BanditParams

COUNT = 60
AGES = np.random.default_rng(5).integers(20, 70, COUNT).tolist()
TWO = plain({"ridge": 10.0}, {"ridge": 10.0, "half_life_decisions": 20.0})
TREES = plain({"ridge": 10.0}, {"ridge": 10.0, "half_life_decisions": 20.0}, trees_from=30)
GRID = np.arange(20.0, 70.0, 5.0)


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    return Shop(ledger, toy_domain, toy_catalog, now)


def trained(params: BanditParams) -> Bandit:
    """A version that was trained on four imported decisions, and reads the age."""
    encoder = Encoder(("age_years",), ("app", "phone"), np.array([40.0]), np.array([10.0]))
    state = BanditState(encoder, params)
    rows = np.array([[20.0], [30.0], [60.0], [70.0]])
    n_experts = len(params.linear_experts) + 1
    state.learn(outcomes(rows, ["app"] * 4, ["discount"] * 4, [0, 0, 1, 1], 0.5, n_experts))
    return Bandit(state, params)


def lives(shop: Shop, numbers: range, begin: datetime, learner: Learner) -> None:
    """Show an action every two hours, and learn; some accept after a while, some retract."""
    told: dict[str, str] = {}
    for number in numbers:
        at = begin + 2 * HOUR * number
        name, action = f"d{number:03}", ("discount", "call_back")[number % 2]
        shop.now = at
        experts = {action: [0.1 + 0.01 * (number % 7)] * 3}
        shop.decide(name, f"c{AGES[number]}", (action,), experts=experts)
        shop.now = at  # `tell` is an hour later
        earlier = f"d{number - 5:03}"
        if number - 5 in numbers and AGES[number - 5] > 45:
            told[earlier] = shop.tell(earlier, "accepted")
        retracted = f"d{number - 9:03}"
        if retracted in told and number % 3 == 0:
            shop.tell(retracted, "accepted", retracts=told[retracted])
        learner.step(at + HOUR)


@pytest.mark.parametrize(
    ("params", "with_version"),
    [(TWO, True), (TWO, False), (TREES, True)],
    ids=("version", "prior", "trees"),
)
def test_it_is_what_a_learner_published_that_stopped_then(shop, params, with_version, monkeypatch):
    # A learner's model may be behind its outcomes by these.
    for name, none in (("STALE", 0.0), ("WEIGHTS_GROWTH", 1.0), ("GROWTH", 1.0)):
        monkeypatch.setattr(posteriors, name, none)
    begin, version = shop.now, ("4", trained(params)) if with_version else None
    settings = PARAMS.model_copy(update={"bandit": params})
    learner = Learner(shop.ledger, shop.domain, shop.catalog, settings, lambda: version)
    learner.rebase(begin)
    lives(shop, range(40), begin, learner)
    stopped_at = begin + 100 * HOUR
    while learner.step(stopped_at):
        pass
    if learner.wants_trees():
        learner.adopt_trees(learner.fit_trees(), stopped_at)
    published = shop.published()
    # Whatever comes later must not be known: an acceptance and a retraction of what was shown
    # before, and the decisions that follow.
    shop.now = stopped_at + DAY
    shop.tell("d039", "accepted")
    shop.tell("d036", "rejected")
    lives(shop, range(50, COUNT), begin, learner)

    past = PastLearner(shop.ledger, shop.domain, shop.catalog, params)
    named = past.prior() if version is None else NamedBandit(*version)
    found = past.would_serve(named, stopped_at)
    asked = shop.catalog.priors, shop.catalog.groups_of
    model = found.bandit.state.model(*asked, weights_first=True)
    assert model.encoder.features == published.encoder.features
    rows = np.repeat(GRID[:, None], len(model.encoder.features), axis=1)
    ours, theirs = (one.predict(rows, ["app"] * len(rows)) for one in (model, published))
    assert ours.acceptance == pytest.approx(theirs.acceptance, abs=1e-9)
    # A snapshot keeps variances as float32.
    assert ours.deviation == pytest.approx(theirs.deviation, abs=1e-7)
    now = shop.published().predict(rows, ["app"] * len(rows))
    assert not np.allclose(now.acceptance, ours.acceptance, atol=1e-3), "the test can fail"


def test_nothing_was_told_before_the_first_decision(shop):
    shop.decide("d1")
    shop.tell("d1", "accepted")
    past = PastLearner(shop.ledger, shop.domain, shop.catalog, PLAIN)
    version = trained(PLAIN)
    found = past.would_serve(NamedBandit("4", version), shop.now)
    assert (found.version, found.told, found.bandit.state.counted) == ("4", 0, 2.0)
    later = past.would_serve(NamedBandit("4", version), shop.now + 2 * HOUR)
    assert (later.told, later.bandit.state.counted) == (1, 3.0)
    assert found.name != later.name and "." not in found.name
    query = sa.select(tables.outcomes.c.received_at)
    received_at = shop.ledger.read(lambda c: c.execute(query).scalar_one())
    assert past.would_serve(NamedBandit("4", version), received_at).told == 0


def test_an_action_that_is_shown_later_takes_no_share_of_an_outcome_yet(shop):
    """Of an order that both lead to, the later one has all; see `credit_shares`."""
    begin, activation = shop.now, json.dumps({"activated": ["discount"]})
    shop.decide("d1", "c30")
    shop.decide("d2", "c60", activated_at=begin + 3 * HOUR, activation=activation)
    shop.tell("d1", "accepted", occurred_at=begin + HOUR, shared_id="order-7")
    shop.tell("d2", "accepted", occurred_at=begin + 5 * HOUR, shared_id="order-7")
    past = PastLearner(shop.ledger, shop.domain, shop.catalog, PLAIN)

    def sums(hours: int) -> tuple[float, float]:
        """Count the outcomes of the discount, and the accepted ones among them."""
        found = past.would_serve(past.prior(), begin + hours * HOUR).bandit.state
        rate = found.first.rate("discount") if found.counted else 0.0
        return round(found.counted, 6), round(rate * found.counted, 6)

    unseen = shares_unseen(14 * DAY.total_seconds())  # the counts of silences at each age
    silent, longer = round(float(unseen[0]), 6), round(1 + float(unseen[1]), 6)
    assert [sums(hours) for hours in (0, 1, 2)] == [(0, 0), (silent, 0), (1, 1)]
    assert sums(4) == (1 + silent, 1), "d2 is shown, and silent"
    assert sums(6) == (longer, 1), "d2 has the order, and d1 is silent longer"
    assert past.would_serve(past.prior(), begin + 6 * HOUR).told == 2


def test_what_had_occurred_but_was_not_told_is_not_known(shop):
    begin = shop.now
    shop.decide("d1")
    shop.now = begin + 10 * HOUR
    shop.tell("d1", "accepted", occurred_at=begin + HOUR)  # received at 11 hours
    past = PastLearner(shop.ledger, shop.domain, shop.catalog, PLAIN)
    before, after = (past.would_serve(past.prior(), begin + hours * HOUR) for hours in (11, 12))
    assert (before.told, after.told) == (0, 1)
    assert before.bandit.state.counted < 1.0 and after.bandit.state.counted == 1.0


def test_the_encoder_is_that_of_the_number_of_decisions_shown_by_then(shop):
    """It is fitted on the first 8 decisions, once there are so many."""
    begin = shop.now
    for number in range(10):
        shop.now = begin + number * HOUR
        shop.decide(f"d{number}", f"c{20 + 5 * number}")
    past = PastLearner(shop.ledger, shop.domain, shop.catalog, PLAIN)

    def encoder(hours: int) -> tuple[int, list[float]]:
        state = past.would_serve(past.prior(), begin + hours * HOUR).bandit.state
        return state.encoded_at, state.encoder.center.tolist()

    # The eighth is shown at 7 hours: known from then on, not at that instant. Mean of 20 to 55.
    assert [encoder(hours) for hours in (7, 8, 10)] == [(0, []), (8, [37.5]), (8, [37.5])]


def test_a_version_that_the_learner_logged_is_judged_without_what_it_learned_since(shop):
    version = trained(PLAIN)
    learner = Learner(shop.ledger, shop.domain, shop.catalog, PARAMS, lambda: ("4", version))
    learner.rebase(shop.now)
    shop.decide("d1")
    shop.decide("d2")
    shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    logged = learner.version()
    assert logged is not None and newest_learned(logged) == 2
    assert newest_learned(version) is None
    past = PastLearner(shop.ledger, shop.domain, shop.catalog, PLAIN)
    assert past.would_serve(NamedBandit("7", logged), shop.now).bandit.state.counted == 2.0


def test_a_version_of_another_domain_file_is_refused(shop):
    strange = Encoder(("shoe_size",), ("app",), np.zeros(1), np.ones(1))
    version = Bandit(BanditState(strange, PLAIN), PLAIN)
    past = PastLearner(shop.ledger, shop.domain, shop.catalog, PLAIN)
    assert past.prior().version == PRIOR
    with pytest.raises(NotRepeatable, match="Bandit version 9 reads features"):
        past.would_serve(NamedBandit("9", version), shop.now + timedelta(days=1))
