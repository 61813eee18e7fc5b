"""The kept shop is that of `tests/shop` with the orders, churn and intent of `tests/toy`."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from features.business.catalog import Catalog
from features.business.domain import Domain, load_domain
from features.journeys.model_input import ModelInput
from serving.catalog.compiled_catalog import load_catalog
from tests.behaviour.live import Live, save_bandit, save_classifier

HERE = Path(__file__).parent
TESTS = HERE.parent
BEGIN = datetime(2026, 10, 5, 7, tzinfo=UTC)
PRETENDED = 500  # customers whose models are fitted on
# What was before us: of decisions that others made, nobody knows by which chance.
IMPORTED = {
    "events": """event_id,customer_id,identifiers,type,occurred_at,channel,amount_eur,kind
old-1,rome,,order,2026-09-20T10:00:00Z,web,25,small
old-2,rome,card:r1,visit,2026-09-28T16:30:00Z,app,,
old-3,tokyo,,order,2026-09-30T02:15:00Z,app,140.5,big
""",
    "decisions": """decision_id,customer_id,decided_at,channel,action_id
before-1,rome,2026-09-21T08:00:00Z,email,discount
before-2,tokyo,2026-09-24T08:00:00Z,email,plus
""",
    "outcomes": """decision_id,outcome,occurred_at
before-1,sold,2026-09-22T12:00:00Z
""",
}
KINDS = ("visit", "page_view", "purchase", "call", "complaint_opened", "complaint_closed", "order")


def live_through(folder: Path, seed: int) -> Live:
    """This tells the story; the folder then holds domain, ledger and models."""
    domain = _domain(folder)
    catalog = load_catalog(HERE / "shop.actions.yaml", domain)
    _models(folder / "models", domain, catalog, seed)
    shop = Live(folder, domain, catalog, BEGIN)
    shop.load(_customers(folder))
    _first_day(shop)
    _second_day(shop)
    _third_day(shop)
    return shop


def _first_day(shop: Live) -> None:
    """Nothing was ever learned; then the learner's first snapshots, still without a champion."""
    shop.happens("e1", "ann", "visit", "web", identifiers=["cookie:a1"])
    shop.happens("e2", "bob", "order", "app", amount_eur=12.5, kind="small", note="n", hours_ago=50)
    shop.happens("e3", "bob", "order", "app", amount_eur=30, kind="big", hours_ago=20)
    shop.decide("s01", "ann", "app", slots=3, context={"page": "basket", "basket_eur": 31.5})
    shop.decide("s02", "stranger-1", "web", explain=True)
    shop.decide("s03", "bob", "email", slots=2, activate=False)
    shop.decide("s04", None, "web", identifiers=["cookie:c9"], context={"page": "help"})
    shop.decide("s05", "rome", "app", exclude=["survey"], placement="home")
    shop.decide("s06", "tokyo", "email", slots=2)
    shop.activate("s03")
    shop.tell("s01", "accepted")
    shop.tell("s02", "rejected")
    shop.tell("s04", "clicked")
    shop.tell("s05", "accepted")
    shop.learn()
    shop.decide("s07", "london", "app", slots=2, explain=True)
    shop.decide("s08", "cleo", "web", activate=False, slots=3)
    shop.decide("s09", "dubai", "call_centre", actions=["discount", "big_box"])
    shop.decide("s10", "cairo", "app")
    shop.link("cookie:c9", "cleo", "signed in")  # s04 was decided for the cookie alone
    shop.decide("s11", None, "app", identifiers=["cookie:c9"], explain=True)


def _second_day(shop: Live) -> None:
    """Churn and intent models serve; complaints, consents, merges; another catalogue."""
    shop.passes(hours=25)
    shop.learn()  # windows of a day have closed in silence
    shop.promote(churn="1", intent="1")
    shop.happens("e4", "bob", "complaint_opened", "call_centre", text="broken")
    shop.happens("e5", "rome", "consent_withdrawn", "app", purpose="marketing")
    shop.happens("e6", "london", "purchase", "web", amount_eur=80)
    shop.decide("s12", "ann", "web", slots=2, explain=True)  # a colleague's problem is open
    shop.decide("s13", "bob", "app", slots=3)
    shop.decide("s14", "rome", "app", slots=2)
    shop.decide("s15", "london", "email", slots=2, activate=False)
    shop.decide("s16", "nairobi", "app", context={"page": "basket", "basket_eur": 60}, explain=True)
    shop.decide("s17", "halifax", "call_centre", slots=4)
    said = shop.tell("s16", "accepted", shared_id="order-1")
    shop.tell("s13", "rejected", shared_id="order-1")
    if said:
        shop.tell("s16", "accepted", retracts=said)
    said = shop.tell("s17", "accepted", value=3.0)
    if said:
        shop.tell("s17", "rejected", revises=said)
    shop.happens("e7", "denver", "visit", "app", identifiers=["card:7"])
    shop.decide("s18", "card:8", "app")
    shop.link("card:8", "denver", "same card")
    shop.link("chicago", "denver", "same person")
    shop.decide("s19", "card:8", "app", slots=2)
    shop.decide("s20", "chicago", "web", explain=True, activate=False)
    shop.unlink("chicago", "denver", "a mistake")
    shop.take_over(_later(shop.catalog, shop.domain))
    shop.learn()
    shop.decide("s21", "ann", "app", slots=2, explain=True)
    shop.activate("s15")
    shop.activate("s20")
    shop.decide("s22", "karachi", "app", context={"page": "basket", "basket_eur": 25})
    shop.decide("s23", "honolulu", "email")


def _third_day(shop: Live) -> None:
    """A champion bandit, first without a snapshot, then learned on; another churn model."""
    shop.passes(days=3, hours=9)
    shop.promote(bandit="1")
    shop.happens("e8", "bob", "complaint_closed", "call_centre")
    shop.decide("s24", "brisbane", "app", slots=3, explain=True)
    shop.decide("s25", "auckland", "web", slots=2)
    shop.decide("s26", "singapore", "app", activate=False)
    shop.learn()
    shop.decide("s27", "tokyo", "app", slots=2, explain=True)
    shop.decide("s28", "noumea", "call_centre")
    for name in ("s24", "s25", "s27"):
        shop.tell(name, "accepted" if name != "s25" else "rejected")
    shop.promote(churn="2")
    shop.learn(trees=True)
    shop.decide("s29", "dhaka", "app", slots=2, explain=True, context={"page": "help"})
    shop.decide("s30", "bangkok", "web", slots=10)
    shop.decide("s31", "ann", "app")
    shop.decide("s32", "bob", "web", slots=2)
    shop.decide("s33", "anchorage", "app")
    shop.happens("e9", "anchorage", "visit", "app", identifiers=["cookie:gone"])
    shop.tell("s33", "clicked")
    shop.forget("anchorage")  # s33 with them: 32 are left
    said = shop.tell("s30", "accepted", value=3.0)
    shop.tell("s30", "rejected", revises=said)  # neither is learned yet


def _domain(folder: Path) -> Domain:
    shop = yaml.safe_load((TESTS / "shop" / "domain.yaml").read_text(encoding="utf-8"))
    toy = yaml.safe_load((TESTS / "toy" / "domain.yaml").read_text(encoding="utf-8"))
    shop["attributes"] |= toy["attributes"]
    shop["events"] = {"order": toy["events"]["order"]}
    shop |= {name: toy[name] for name in ("half_lives_days", "churn", "intent")}
    path = folder / "domain.yaml"
    path.write_text(yaml.safe_dump(shop, sort_keys=False), encoding="utf-8")
    return load_domain(path)


def _later(catalog: Catalog, domain: Domain) -> Catalog:
    """The second catalogue has other values, priors, caps and a formula; an action is gone."""
    content: dict[str, Any] = catalog.model_dump(mode="json", by_alias=True)
    del content["actions"]["spring_sale"]
    content["actions"]["discount"] |= {"value": 11.0, "lever": 0.9}
    content["actions"]["survey"]["prior"] = {"acceptance": 0.3, "weight": 20.0}
    content["actions"]["big_box"]["volume"] = {"at_most": 2, "at_least": 1}
    content["arbitration"]["formula"] = "acceptance * value * lever * context_weight - cost * 1.5"
    content["contact_policy"]["caps"].append({"at_most": 1, "days": 1, "each": ["action"]})
    return Catalog.model_validate(content)


def _customers(folder: Path) -> Path:
    """This writes the customers of the shop, with the attributes of the toy."""
    there = folder / "tables"
    there.mkdir()
    with (TESTS / "shop" / "customers.csv").open(encoding="utf-8") as file:
        people = list(csv.DictReader(file))
    with (there / "customers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*people[0], "plan", "age_years"], lineterminator="\n")
        writer.writeheader()
        for number, one in enumerate(people):
            plan = ("basic", "plus", "")[number % 3]
            writer.writerow(one | {"plan": plan, "age_years": 20 + 7 * number % 60})
    for name, text in IMPORTED.items():
        (there / f"{name}.csv").write_text(text, encoding="utf-8")
    return there


def _models(folder: Path, domain: Domain, catalog: Catalog, seed: int) -> None:
    """This fits small models of pretended customers, in whom there is something to find."""
    rng = np.random.default_rng(seed)
    names = ModelInput(domain).names
    rows = _rows(domain, rng)

    def of(name: str) -> np.ndarray:
        return np.nan_to_num(rows[:, names.index(name)])

    leaving = -1.5 + 0.03 * (of("age_years") - 40) + 1.2 * of("open_problems")
    leaving += 0.05 * of("order_silence_days")
    big = -0.5 + 1.5 * of("plan") - 0.02 * (of("age_years") - 40)
    for version, scale in (("1", 1.0), ("2", 0.4)):
        churns = (rng.random(len(rows)) < _chance(scale * leaving)).astype(np.int64)
        place = folder / "churn" / version
        save_classifier(place, domain, ("stay", "churn"), rows, churns, seed)
    bigs = (rng.random(len(rows)) < _chance(big)).astype(np.int64)
    save_classifier(folder / "intent" / "1", domain, domain.intents, rows, bigs, seed)
    actions = rng.choice(list(catalog.actions), len(rows))
    channels = rng.choice(domain.channels, len(rows))
    likes = -1.0 + 1.5 * (actions == "survey") + (actions == "plus") * (2 - 3 * of("plan"))
    likes += (actions == "discount") * 0.04 * (of("age_years") - 40) + (channels == "app")
    accepted = rng.random(len(rows)) < _chance(likes)
    told = rows, channels.tolist(), actions.tolist(), accepted
    save_bandit(folder / "bandit" / "1", domain, *told)


def _rows(domain: Domain, rng: np.random.Generator) -> np.ndarray:
    """This makes rows of pretended customers."""
    model_input, zones = ModelInput(domain), domain.attributes["zone"].values
    fold, end_s = model_input.fold, BEGIN.timestamp()
    rows, colleague = [], None
    for _ in range(PRETENDED):
        state = fold.empty()
        for at_s in np.sort(end_s - rng.exponential(15 * 86_400, rng.integers(0, 9))).tolist():
            kind = str(rng.choice(KINDS))
            amount = {"amount_eur": round(float(rng.gamma(2, 20)), 2)}
            more = {"purchase": amount, "order": amount | {"kind": str(rng.choice(domain.intents))}}
            channel = str(rng.choice(domain.channels))
            state = fold.advance(state, kind, channel, at_s, more.get(kind, {}))
        about = {"plan": str(rng.choice(["basic", "plus"])), "zone": str(rng.choice(zones))}
        about["age_years"] = str(rng.integers(18, 80))
        rows.append(model_input.read(about, state, end_s, colleague))
        colleague = state if rng.random() < 0.5 else None
    return np.array(rows)


def _chance(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
