"""A business that lives without a server: its clock is set by us, its online store is memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.business.catalog import Catalog
from features.business.domain import Domain
from features.customers.profiles import account_key
from features.ingest.erasure import Erasure
from features.ingest.live_events import Ingest
from features.ingest.load_tables import load_folder
from features.journeys.fold import Fold, State
from features.journeys.model_input import ModelInput
from features.ledger import tables
from features.ledger.ledger import Ledger
from features.states.journey_states import JourneyStates
from features.store.feast_store import CustomerFeatures
from serving.audit.archive import keep_catalog
from serving.catalog.compiled_catalog import CompiledCatalog
from serving.contract.decisions import DecideRequest, Decision
from serving.contract.events import OutcomeRequest
from serving.decide.activation import activate
from serving.decide.decision_setup import DecisionSetup
from serving.decide.engine import Engine
from serving.decide.outcomes import record_outcome
from serving.learn.learner import Learner
from serving.models.watcher import ModelWatcher
from tests.behaviour.kept import Folders, run
from training.bandit.artifact import Bandit
from training.bandit.bandit_state import BanditState, OutcomeBatch
from training.bandit.encoder import Encoder
from training.models.classifier import fit_classifier
from training.models.splits import customer_splits
from training.params import load_params

SMALL = {"rounds": 8, "num_leaves": 5, "min_child_samples": 20, "learning_rate": 0.2}
WIDTH = 14  # of the bandit's vectors: an action costs its square
SECRET = "1" * 64  # mixed into the draws


class Online:
    """It is an online store in memory."""

    degraded: Sequence[str] = ()

    def __init__(self, domain: Domain) -> None:
        self._fold, self._account = Fold(domain), domain.account
        self._states: dict[str, State | None] = {}
        self._profiles: dict[str, Mapping[str, str]] = {}

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None:
        """It keeps states."""
        self._states |= {
            key: self._fold.unpack(one) for key, one in zip(customer_ids, packed, strict=True)
        }

    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None:
        """It keeps attributes."""
        self._profiles |= profiles

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool:
        """It forgets customers."""
        for key in customer_ids:
            self._states.pop(key, None)
            self._profiles.pop(key, None)
        return True

    def state(self, key: str) -> State | None:
        """It shows the state of somebody."""
        return self._states.get(key)

    def online(self, customer_id: str) -> CustomerFeatures | None:
        """It tells all that is known of a customer; None if nothing is."""
        state = self._states.get(customer_id)
        facts = self._profiles.get(customer_id, {})
        if state is None and not facts:
            return None
        account = facts.get(self._account) if self._account else None
        return CustomerFeatures(
            facts, state, self._states.get(account_key(account)) if account else None
        )


class Live:
    """It is a business with its models and its learner; ``now`` is its clock."""

    def __init__(self, folder: Path, domain: Domain, catalog: Catalog, now: datetime) -> None:
        self.folder, self.domain, self.catalog, self.now = folder, domain, catalog, now
        self.params = load_params()
        self.input = ModelInput(domain)
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        self.ledger.write_now(lambda c: tables.set_meta(c, tables.DRAW_SECRET, SECRET))
        self.online = Online(domain)
        self.registry: Any = Folders(folder / "models", {})
        keep_catalog(self.ledger, catalog, now)
        self._watcher = ModelWatcher(self.registry, self.ledger, domain, catalog, self.params)
        self._watcher.refresh()
        compiled = CompiledCatalog(catalog, domain, self.input)
        setup = DecisionSetup(compiled, self._watcher.current, self.input)
        self.engine = Engine(domain, self.input, self.online, self.ledger, setup)
        states = JourneyStates(self.input.fold, self.online.state)
        self.ingest = Ingest(self.ledger, self.online, domain, states, lambda: catalog.purposes)
        self.learner = Learner(self.ledger, domain, catalog, self.params, self._champion)
        self.decided: dict[str, Decision] = {}

    def load(self, tables_folder: Path) -> None:
        """It brings contract tables in, and puts them online."""
        built = self.now.isoformat()
        self.ledger.write_now(lambda c: tables.set_meta(c, tables.FEATURES_BUILT, built))
        reports = load_folder(tables_folder, self.ledger, self.domain, self.catalog, self.now)
        assert all(one.passed for one in reports), reports
        run(self.ingest.publisher.show_backlog(self.now))

    def passes(self, **time: float) -> None:
        """Time goes by."""
        self.now += timedelta(**time)

    def decide(self, decision_id: str, customer_id: str | None, channel: str, **more: Any) -> None:
        """It decides once, three minutes after what was before."""
        self.passes(minutes=3)
        named = {"customer_id": customer_id} if customer_id else {}
        body = {"decision_id": decision_id, "channel": channel} | named | more
        request = DecideRequest.model_validate(body)
        self.decided[decision_id] = run(self.engine.decide(request, self.now))

    def activate(self, decision_id: str) -> None:
        """It shows what was deferred."""
        self.passes(minutes=1)
        run(activate(self.engine, decision_id, self.now))

    def happens(
        self, event_id: str, customer_id: str, kind: str, channel: str, /, **more: Any
    ) -> None:
        """It takes an event in; what is not named here are its properties."""
        self.passes(seconds=20)
        sent = {
            "event_id": event_id,
            "type": kind,
            "occurred_at": (self.now - timedelta(hours=more.pop("hours_ago", 0))).isoformat(),
            "channel": channel,
            "customer_id": customer_id,
            "identifiers": more.pop("identifiers", []),
            "properties": more,
        }
        taken = run(self.ingest.ingest([sent], self.now))
        assert taken.accepted == 1, taken

    def link(self, left: str, right: str, cause: str) -> None:
        """Two keys are one person."""
        self.passes(seconds=20)
        run(self.ingest.link((left, right), cause, self.now))

    def unlink(self, left: str, right: str, cause: str) -> None:
        """They are not, after all."""
        self.passes(seconds=20)
        run(self.ingest.unlink((left, right), cause, self.now))

    def tell(self, decision_id: str, outcome: str, **more: Any) -> str:
        """It takes an outcome in, if the decision showed something; its id, or nothing.

        It is one of the first action, unless ``more`` says another.
        """
        shown = self.decided[decision_id].actions[0].action_id
        if shown == "no_action" and "action_id" not in more:
            return ""
        self.passes(seconds=20)
        body = {"decision_id": decision_id, "outcome": outcome, "occurred_at": self.now}
        if not more.keys() & {"retracts", "revises"}:
            body["action_id"] = shown
        request = OutcomeRequest.model_validate(body | more)
        told = run(record_outcome(request, self.ledger, self.catalog, self.now))
        return told.outcome_id

    def learn(self, trees: bool = False) -> None:
        """The learner takes a step, and may fit trees; what it publishes is served."""
        self.passes(seconds=20)
        self.learner.rebase(self.now)
        self.learner.step(self.now)
        if trees:
            self.learner.adopt_trees(self.learner.fit_trees(), self.now)
        self._watcher.refresh_snapshot()
        self.engine.setup = self.engine.setup.with_models(self._watcher.current)

    def promote(self, **versions: str) -> None:
        """Versions become champions."""
        self.registry.champions |= versions
        self._watcher.refresh()
        self.engine.setup = self.engine.setup.with_models(self._watcher.current)

    def take_over(self, catalog: Catalog) -> None:
        """It decides with another catalogue from now on."""
        self.passes(seconds=20)
        self.catalog = self.learner.catalog = catalog
        keep_catalog(self.ledger, catalog, self.now)
        self._watcher.follow(catalog)
        compiled = CompiledCatalog(catalog, self.domain, self.input)
        self.engine.setup = DecisionSetup(compiled, self._watcher.current, self.input)

    def forget(self, key: str) -> None:
        """Somebody is erased."""
        self.passes(seconds=20)
        erasure = Erasure(self.ledger, self.online, self.folder)
        erasure.forget([key], self.now)
        assert erasure.finish()

    def _champion(self) -> tuple[str, Bandit] | None:
        version = self.registry.champion("bandit")
        return version and (version.base, Bandit.load(self.registry.folder(version)))


def save_classifier(
    folder: Path,
    domain: Domain,
    classes: tuple[str, ...],
    rows: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> None:
    """This fits and saves a small classifier."""
    who = np.arange(len(rows)).astype(object)
    splits = customer_splits(who, labels, 3, seed)
    names = ModelInput(domain).names
    fit_classifier(rows, labels, splits, names, classes, SMALL, seed).save(folder)


def save_bandit(
    folder: Path,
    domain: Domain,
    rows: np.ndarray,
    channels: Sequence[str],
    actions: Sequence[str],
    accepted: np.ndarray,
) -> None:
    """This fits and saves a small bandit, with trees, that learned from some outcomes."""
    served = load_params().bandit
    params = served.model_copy(update={"width": WIDTH})
    names = ModelInput(domain).names
    encoder = Encoder.fit(rows, names, domain.channels, WIDTH, seed=7)
    state = BanditState(encoder, params)
    n, columns = len(rows), [names.index(name) for name in encoder.features]
    outcomes = OutcomeBatch(
        rows[:, columns],
        channels,
        actions,
        accepted.astype(np.float64),
        np.full(n, served.warm_start_weight),
        np.zeros(n),
        np.full((n, len(state.errors.products)), np.nan),
    )
    state.learn(outcomes)
    state.fit_trees(outcomes, state.counted)
    Bandit(state, params).save(folder)
