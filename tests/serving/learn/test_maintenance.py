"""The learner's slow tasks: trees are fitted again, and the bandit is logged as a version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.ingest.erasure import Erasure
from features.ledger import tables
from serving.effects.fitting import PAUSE
from serving.learn.learner import Learner
from serving.learn.maintenance import (
    GROWTH_BEHIND,
    LearnerMaintenance,
    _was_ahead,
    log_to_registry,
)
from serving.learn.steps import read_changes
from serving.learn.updates import FittedTrees
from tests.serving.learn.test_learner import (
    DAY,
    HOUR,
    PARAMS,
    UNSEEN,
    Forgetful,
    Shop,
    a_champion,
    on_top,
)
from tests.training.pipeline.test_registry import on_sqlite
from training.bandit.artifact import Bandit
from training.params import load_params

TREES = PARAMS.bandit.trees.model_copy(update={"at_least": 60, "growth": 2.0, "newest": 1000})
GROWN = PARAMS.model_copy(update={"bandit": PARAMS.bandit.model_copy(update={"trees": TREES})})


@pytest.fixture
def shop(ledger, toy_domain, toy_catalog, now) -> Shop:
    return Shop(ledger, toy_domain, toy_catalog, now)


def grown(shop: Shop) -> Learner:
    champion = a_champion("4", 0.5, n=2)
    return Learner(shop.ledger, shop.domain, shop.catalog, GROWN, champion, shop.folder)


def taught(shop: Shop, count: int, begin: int = 0) -> None:
    """The young accept, the old do not."""
    for number in range(begin, begin + count):
        age = 20 if number % 2 else 60
        shop.decide(f"d{number}", f"c{age}")
        shop.tell(f"d{number}", "accepted" if age == 20 else "rejected")


def test_trees_are_fitted_when_enough_was_learned_and_not_before(shop):
    learner = grown(shop)
    learner.rebase(shop.now)
    maintenance = LearnerMaintenance(learner, log_version=lambda bandit: "", every_s=1e9, now_s=0.0)
    taught(shop, 40)
    learner.step(shop.now + HOUR)
    maintenance.check(shop.now, 1.0)
    assert not learner.wants_trees()
    taught(shop, 40, begin=40)
    learner.step(shop.now + HOUR)
    assert learner.wants_trees()
    assert shop.published().trees is None
    maintenance.check(shop.now, 2.0)
    maintenance.close()  # waits for what was begun
    maintenance.check(shop.now + HOUR, 3.0)
    trees = shop.published().trees
    assert trees is not None and not learner.wants_trees()
    found = trees.reward(np.array([[20.0], [60.0]]), ("app", "app"), ("discount",))[:, 0]
    assert found[0] > 0.7 and found[1] < 0.3
    again = grown(shop)
    version = again.version()  # a restarted one has them
    assert version is not None and version.state.trees is not None
    assert not again.wants_trees() and again.fit_trees().trees is not None


@pytest.mark.parametrize(
    "begun", [None, ("customer_age",)], ids=["none begun", "begun for other features"]
)
def test_trees_that_are_due_are_fitted_and_published_before_it_goes_on(shop, begun):
    learner = grown(shop)
    learner.rebase(shop.now)
    maintenance = LearnerMaintenance(learner, log_version=lambda bandit: "", every_s=1e9, now_s=0.0)
    maintenance.finish_trees(shop.now)
    assert shop.published().trees is None, "none are due"
    taught(shop, 80)
    learner.step(shop.now + HOUR)
    if begun is not None:
        maintenance._trees = maintenance._pool.submit(FittedTrees, None, 99.0, begun)
    assert learner.wants_trees()
    maintenance.finish_trees(shop.now + HOUR)
    assert shop.published().trees is not None and not learner.wants_trees()
    maintenance.close()


def test_trees_that_are_being_fitted_are_waited_for_and_used(shop):
    learner = grown(shop)
    learner.rebase(shop.now)
    maintenance = LearnerMaintenance(learner, log_version=lambda bandit: "", every_s=1e9, now_s=0.0)
    taught(shop, 80)
    learner.step(shop.now + HOUR)
    maintenance.check(shop.now + HOUR, 1.0)
    fits = maintenance._trees
    assert fits is not None
    maintenance.finish_trees(shop.now + HOUR)
    trees, fitted = shop.published().trees, fits.result().trees
    assert trees is not None and fitted is not None
    assert maintenance._trees is None and not learner.wants_trees()
    rows, app, names = np.array([[20.0], [60.0]]), ("app", "app"), ("discount",)
    assert trees.reward(rows, app, names).tolist() == fitted.reward(rows, app, names).tolist()
    maintenance.close()


class Effects:
    """Learns effects; a fit is wanted until one is published."""

    def __init__(self) -> None:
        self.wanted, self.growth = True, list[float]()
        self.published = list[tuple[object, object]]()

    def wants_fit(self, now: object, growth: float = 0.0) -> bool:
        self.growth.append(growth)
        return self.wanted

    def fit(self, now: object, pause: float = 0.0) -> object:
        return "fitted", now, pause

    def publish(self, fitted: object, now: object) -> None:
        self.wanted = False
        self.published.append((fitted, now))


def with_effects(shop: Shop) -> tuple[LearnerMaintenance, Effects]:
    effects: Any = Effects()
    learner = grown(shop)
    return LearnerMaintenance(learner, lambda bandit: "", 1e9, 0.0, effects), effects


def test_effects_are_fitted_beside_the_steps_and_then_published(shop):
    maintenance, effects = with_effects(shop)
    maintenance.check(shop.now, 1.0, more_waits=True)
    assert effects.growth == [GROWTH_BEHIND] and not effects.published
    maintenance.close()  # waits for what was begun
    maintenance.check(shop.now + HOUR, 2.0)
    assert effects.published == [(("fitted", shop.now, PAUSE), shop.now + HOUR)]


@pytest.mark.parametrize("is_begun", [False, True])
def test_effects_that_are_due_are_fitted_and_published_before_it_goes_on(shop, is_begun):
    maintenance, effects = with_effects(shop)
    begun = (shop.now, PAUSE) if is_begun else (shop.now + HOUR, 0.0)
    if is_begun:
        maintenance.check(shop.now, 1.0)
    maintenance.finish_effects(shop.now + HOUR)
    assert effects.published == [(("fitted", *begun), shop.now + HOUR)]
    maintenance.finish_effects(shop.now + DAY)
    assert len(effects.published) == 1, "no more is due"
    maintenance.close()


def test_trees_are_fitted_more_seldom_while_decisions_wait(shop, monkeypatch):
    """A fit takes seconds, and a learner that is behind has none to spare."""
    learner, asked = shop.learner(), list[float]()
    monkeypatch.setattr(learner, "wants_trees", lambda growth: bool(asked.append(growth)))
    maintenance = LearnerMaintenance(learner, log_version=lambda bandit: "", every_s=1e9, now_s=0.0)
    maintenance.check(shop.now, 1.0)
    maintenance.check(shop.now, 1.0, more_waits=True)
    maintenance.close()
    assert asked == [0.0, GROWTH_BEHIND] and load_params().bandit.trees.growth < GROWTH_BEHIND


def test_a_version_is_logged_when_it_is_time_and_something_was_learned(shop):
    learner, written = shop.learner(), list[Bandit]()

    def write(bandit: Bandit) -> str:
        written.append(bandit)
        return str(len(written))

    maintenance = LearnerMaintenance(learner, write, every_s=100.0, now_s=0.0)
    maintenance.check(shop.now, 150.0)
    assert not written, "nothing was learned"
    taught(shop, 2)
    learner.step(shop.now + HOUR)
    maintenance.check(shop.now, 200.0)
    assert not written, "it is not time"
    maintenance.check(shop.now, 260.0)
    maintenance.close()
    assert [one.state.counted for one in written] == [2.0]


def test_a_version_under_an_alias_of_its_own_serves_and_is_not_counted_twice(
    shop, tmp_path, toy_domain
):
    registry = on_sqlite(tmp_path)
    shop.decide("d1")
    shop.tell("d1", "accepted")
    learner = shop.learner(a_champion("4", accepted=0.5, n=10))
    learner.rebase(shop.now + HOUR)
    learner.step(shop.now + HOUR)
    number = log_to_registry(registry, toy_domain)(learner.version())
    [version] = registry.versions()
    assert (version.version, version.aliases) == (number, ("learned",))

    back = Bandit.load(registry.folder(version))
    row, priors = np.full((1, 1), 40.0), shop.catalog.priors
    served = back.state.model(priors, {}).acceptance(row, ["app"])
    at = list(priors).index("discount")
    # Ten times 0.5 and once 1, all at the encoder's center and in one channel.
    assert served[0, at] == pytest.approx(on_top(11, 6 / 11))
    promoted = shop.learner(lambda: ("5", back))
    assert promoted.rebase(shop.now + 2 * HOUR)
    assert shop.expects() == pytest.approx(on_top(11, 6 / 11))


def test_no_version_is_logged_while_its_champion_cannot_be_read(shop):
    """Its start would be blank, and what was learned from imported decisions lost with it."""
    shop.learner(a_champion("4", accepted=0.5, n=10)).rebase(shop.now)
    champions, written = {}, list[Bandit]()

    def write(bandit: Bandit) -> str:
        written.append(bandit)
        return "5"

    learner = shop.learner(lambda: champions.get("now"))
    maintenance = LearnerMaintenance(learner, write, every_s=100.0, now_s=0.0)
    taught(shop, 2)
    learner.step(shop.now + HOUR)
    assert learner.version() is None
    maintenance.check(shop.now, 101.0)
    champions["now"] = a_champion("4", accepted=0.5, n=10)()
    maintenance.check(shop.now, 202.0)
    maintenance.close()
    assert [(one.state.counted, one.imported.counted) for one in written] == [(12.0, 10.0)]


def test_a_version_that_cannot_be_logged_is_tried_again_later(shop):
    learner, tries = shop.learner(), []

    def write(bandit: Bandit) -> str:
        tries.append(bandit)
        raise OSError("MLflow is down")

    maintenance = LearnerMaintenance(learner, write, every_s=100.0, now_s=0.0)
    taught(shop, 2)
    learner.step(shop.now + HOUR)
    maintenance.check(shop.now, 101.0)
    maintenance.close()
    with pytest.raises(OSError, match="MLflow is down"):
        maintenance.check(shop.now, 102.0)
    assert len(tries) == 1


# Checkpoints, forgotten customers and the clock ---------------------------------------------------


def maintained(shop: Shop) -> tuple[Learner, LearnerMaintenance]:
    learner = shop.learner()
    maintenance = LearnerMaintenance(learner, lambda bandit: "", every_s=1e9, now_s=0.0)
    return learner, maintenance


def wait(maintenance: LearnerMaintenance) -> None:
    """Wait for the tasks that were started."""
    for future in (maintenance._checkpoint, maintenance._clock):
        if future is not None:
            future.result()


def payloads(shop: Shop) -> list[bool]:
    steps = tables.learned_steps.c
    query = sa.select(steps.payload.is_not(None)).order_by(steps.revision)
    return [bool(one) for one in shop.ledger.read(lambda c: c.execute(query).scalars().all())]


def test_a_checkpoint_is_written_each_minute_and_the_steps_before_it_are_dropped(shop):
    learner, maintenance = maintained(shop)
    for number in range(4):
        taught(shop, 1, begin=number)
        learner.step(shop.now + HOUR)
        maintenance.check(shop.now + HOUR, 61.0 * number)
        wait(maintenance)
        maintenance.check(shop.now + HOUR, 61.0 * number + 9)
    assert len(list(shop.folder.iterdir())) == 2
    assert payloads(shop) == [False, True], "those of the checkpoint before the last one"
    for minute in (5, 6, 7):  # nothing is learned any more
        maintenance.check(shop.now + HOUR, 61.0 * minute)
        wait(maintenance)
    assert payloads(shop) == [False]
    maintenance.close()


def test_when_a_customer_is_forgotten_no_step_has_features_and_a_checkpoint_follows(shop, tmp_path):
    learner, maintenance = maintained(shop)
    maintenance.check(shop.now, 0.0)
    taught(shop, 4)
    learner.step(shop.now + HOUR)
    assert payloads(shop) == [True]
    Erasure(shop.ledger, Forgetful(), tmp_path).forget(["c20"], shop.now + 2 * HOUR)
    assert payloads(shop) == [False]
    maintenance.check(shop.now + 2 * HOUR, 6.0)
    wait(maintenance)
    again = shop.learner()
    assert again.counted == learner.counted == 4, "read from the checkpoint, not counted again"
    maintenance.close()


def test_a_decision_that_is_erased_during_a_step_is_neither_learned_nor_kept(
    shop, tmp_path, monkeypatch
):
    taught(shop, 4)
    learner = shop.learner()
    erased: list[int] = []

    def then_erase(*given: Any) -> Any:
        found = read_changes(*given)
        if not erased:
            erased.append(1)
            Erasure(shop.ledger, Forgetful(), tmp_path).forget(["c20"], shop.now + 2 * HOUR)
        return found

    with monkeypatch.context() as patched:
        patched.setattr("serving.learn.learner.read_changes", then_erase)
        assert learner.learn(shop.now + HOUR), "the step is to be computed again"
    assert payloads(shop) == []
    learner.learn(shop.now + HOUR)
    assert learner.counted == 2 and set(shop.credits()) == {("d0", "discount"), ("d2", "discount")}


def test_silences_that_were_counted_while_the_clock_was_ahead_are_revised(shop):
    learner, maintenance = maintained(shop)
    shop.decide("d0")
    shop.decide("d1")
    shop.tell("d1", "accepted")
    learner.step(shop.now + HOUR)
    young = shop.counted()
    learner.step(shop.now + 30 * DAY)  # the clock has jumped: the window seems to have ended
    assert shop.counted()["d0", "discount"] == (0.0, 1.0)
    right = shop.now + 2 * HOUR
    maintenance.check(right, 0.0)
    wait(maintenance)
    learner.step(right + HOUR)
    assert shop.counted() == young
    learner.step(shop.now + 8 * DAY)
    assert shop.counted()["d0", "discount"] == (0.0, pytest.approx(UNSEEN[-1]))
    assert not shop.ledger.read(lambda c: _was_ahead(c, shop.now + 8 * DAY))
    assert learner.counted == pytest.approx(1 + UNSEEN[-1])
    maintenance.close()


def test_a_clock_that_goes_on_is_not_put_right(shop):
    learner, maintenance = maintained(shop)
    shop.decide("d0")
    learner.step(shop.now + HOUR)
    maintenance.check(shop.now + HOUR, 0.0)
    assert maintenance._clock is None
    maintenance.close()
