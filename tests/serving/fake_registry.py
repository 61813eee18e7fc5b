"""A registry on a folder, toy models, and snapshots as the learner would publish them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from features.ledger import tables
from features.ledger.ledger import Ledger
from serving.models import snapshots
from serving.models.served_models import ServedModels
from serving.models.snapshot_publisher import SnapshotPublisher
from tests.bandits import PLAIN, bandit, outcomes
from training.arrays import Floats, pack
from training.bandit.artifact import Bandit
from training.bandit.encoder import Encoder
from training.effects.effect_model import EffectModel
from training.models.classifier import Classifier, fit_classifier
from training.models.splits import forward_splits
from training.params import ClassifierParams, TrainingParams
from training.pipeline.registry import ModelVersion, RegistryDown

CLASSIFIER = ClassifierParams(service="unused", lightgbm={"rounds": 1})
PARAMS = TrainingParams(
    seed=7,
    churn=CLASSIFIER,
    intent=CLASSIFIER,
    bandit=PLAIN,
)
PRIORS = {"call_back": 0.3, "discount": 0.2, "talk_plus": 0.1}
RUN = "run-of-this-registry"
# 10 outcomes at the center, against weight 10 on the constant and ridge 100 on the channel.
LEARNED = 0.2 + 0.8 * (10 * 0.11) / (1 + 10 * 0.11)


@dataclass
class FakeRegistry:
    """Champions as folders under a root; notes which were read."""

    root: Path
    champions: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    down: bool = False

    def champion(self, name: str) -> ModelVersion | None:
        if self.down:
            raise RegistryDown("MLflow does not answer.", expected="an answer", remedy="Start it.")
        number = self.champions.get(name)
        return ModelVersion(name, number, (), "passed", RUN) if number else None

    def version(self, name: str, number: str) -> ModelVersion:
        return ModelVersion(name, number, (), "passed", RUN)

    def folder(self, version: ModelVersion) -> Path:
        self.read.append(f"{version.name} {version.version}")
        return self.root / version.name / version.version

    def promote(self, name: str, number: str, model: Classifier | Bandit) -> None:
        model.save(self.root / name / number)
        self.champions[name] = number


def a_classifier(
    names: Sequence[str], classes: tuple[str, ...], stranger: Floats | None = None
) -> Classifier:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(200, len(names))), np.arange(200) % len(classes)
    splits = forward_splits(np.zeros(200, dtype=np.int64), 1, seed=4)
    params = {"rounds": 2}
    return fit_classifier(x, y, splits, tuple(names), classes, params, 4, stranger=stranger)


def a_bandit(
    accepted: float = 1.0, features: tuple[str, ...] = ("age_years",), n: int = 10
) -> Bandit:
    """Saw ``n`` discounts in the app, all accepted alike, at the center of its features."""
    width = len(features)
    encoder = Encoder(features, ("app", "phone"), np.zeros(width), np.ones(width))
    told = outcomes(np.zeros((n, width)), ["app"] * n, ["discount"] * n, [accepted] * n)
    return bandit(encoder, told, PLAIN.model_copy(update={"min_probability": 0.05}))


def an_effect_model(
    actions: Sequence[str] = ("discount", "talk_plus"), encoder: Encoder | None = None
) -> EffectModel:
    """Adds to purchases by age, and to leaving; each action differs from the others."""
    encoder = encoder or Encoder(("age_years",), ("app", "phone"), np.zeros(1), np.ones(1))
    rng, width, n = np.random.default_rng(5), encoder.width, len(actions)
    numbers = rng.normal(size=(2, n, width)) / 10
    spread = np.stack([np.eye(width)] * n) / 100
    return EffectModel(
        tuple(actions),
        encoder,
        basis=np.eye(width),
        level=np.full(width, -1.0),
        purchases=numbers[0],
        purchases_covariance=spread,
        leaving=numbers[1],
        leaving_covariance=spread,
        duration_days=28.0,
    )


def publish_effect_model(
    ledger: Ledger, now: datetime, number: int, model: EffectModel | None = None
) -> None:
    """Write an effect model into the ledger, as a learner does."""
    payload = (model or an_effect_model()).to_bytes()
    row = {"number": number, "published_at": now, "labels": 1, "payload": payload, "note": "{}"}
    ledger.write_now(lambda c: c.execute(tables.effect_models.insert().values(row)))


def accepted(models: ServedModels, row: np.ndarray, channel: str = "app") -> dict[str, float]:
    """The predicted acceptance of each action."""
    return dict(
        zip(models.bandit.actions, models.predict(row, channel).acceptance.tolist(), strict=True)
    )


def publish(ledger: Ledger, now: object, base: str, bandit: Bandit) -> int:
    """A snapshot as the learner would write it."""
    priors = {name: (p, 10.0) for name, p in PRIORS.items()}
    publisher, base = SnapshotPublisher(ledger), _whole(base)
    packed = publisher.pack_model(bandit.state.model(priors), base)
    return ledger.write_now(lambda c: publisher.publish(c, base, packed, now))


def save_former_bandit(folder: Path) -> None:
    """Save `a_bandit` as `Bandit.save` did before a state had its own settings."""
    mine = a_bandit()
    encoder, sums = mine.state.encoder, mine.state.first
    second = np.tril(sums.second("discount"))
    one = {
        "second": (second + np.tril(second, -1).T)[None],
        "first": sums.first("discount")[None],
        "square": np.array([sums.pooled[2]]),
    }
    ridge = mine.params.linear_experts[0].ridge
    note = {"actions": ["discount"], "ridge": ridge, "half_life": None, "epoch": 0.0}
    memory = pack(encoder.note | note, **encoder.arrays, **one)
    of_state = {"lives": [None], "count": 0.0, "half_life": None, "epoch": 0.0, "newest": 9.0}
    of_state |= {"counted": 10.0, "trees": None, "fitted_on": 0.0}
    payload = pack(
        of_state,
        products=np.zeros((2, 2)),
        memory_0=np.frombuffer(memory, dtype=np.uint8),  # type: ignore[arg-type]
    )
    folder.mkdir(parents=True)
    (folder / "knowledge.npz").write_bytes(payload)
    settings = mine.params.model_dump()
    settings["heads"], settings["least"] = (
        [{"ridge": ridge, "caution": 1.0, "debt": 0.0, "memory": None}],
        settings.pop("min_probability"),
    )
    del settings["linear_experts"]
    (folder / "bandit.json").write_text(json.dumps(settings), encoding="utf-8")


def former_snapshot(ledger: Ledger, now: object, base: str) -> int:
    """A snapshot as the learner wrote it before all linear experts had one basis."""
    encoder = Encoder.blank()
    note = {"actions": list(PRIORS), "ridges": [100.0], "trees": False}
    arrays = {
        "prior": np.array(list(PRIORS.values())),
        "weights": np.zeros((3, 2)),
        "noise": np.ones(3),
        "shares": np.array([1.0, 0.0]),
    }
    payload = pack(encoder.note | note | {snapshots.PARTS: {}}, **encoder.arrays, **arrays)
    row = {"base": _whole(base), "published_at": now, "payload": payload}
    insert = tables.snapshots.insert().returning(tables.snapshots.c.sequence)
    return ledger.write_now(lambda c: c.execute(insert, row).scalar_one())


def _whole(base: str) -> str:
    return base if base == "prior" or "@" in base else f"{base}@{RUN[:8]}"
