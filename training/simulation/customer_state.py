"""How the simulated customers are today, what of it shows, and how a day changes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Bools, Floats, Ints
from training.simulation.actions import CHANNELS, HELP, NEEDS, NOTHING, PRICE
from training.simulation.customers import PLANS, YEAR_MONTHS, Customers

NEED_LASTS_DAYS = 25.0
FATIGUE_KEPT = 0.85  # of a day's fatigue on the next
CONTENT_AGAIN = 0.06  # of the way back to the usual satisfaction in a day
PROBLEM_BEGINS, PROBLEM_ENDS = 0.005, 0.05  # chance a day; twice as often in the country
PROBLEM_ANGERS, UNHELPED_ANGERS = 0.06, 0.03  # satisfaction a day
SUPPORT_BEGINS, SUPPORT_ENDS = 0.5, 0.1
ONBOARDING_DAYS, DISCOUNT_DAYS = 12, 90
STAGES = 3  # of a purchase, beyond being aware of it
DIP = -0.6  # usage below it is a dip
CLEAR = 0.9  # chance that a page shows what a customer needs
# Logit of leaving on a day, for each unit of ...
ANGER, FATIGUE, PROBLEM, DEAR, BOUND = 1.1, 0.30, 1.1, 1.3, 1.0
PAGES = NEEDS[1:]
TOPIC_KEPT, CALL_KEPT, CONTACT_KEPT = 0.87, 0.93, 0.93  # of counters, a day
MARGIN_EUR = 7.0  # of a month; unit of the feature
COMPLAINS, ANSWERS = 0.12, 0.1  # chance a day

FEATURES = (
    *("age", "young", "old", "home_size", *(f"plan_{plan}" for plan in PLANS), "rural"),
    *("tenure", "margin", *(f"channel_{channel}" for channel in CHANNELS)),
    *(f"page_{page}" for page in PAGES),
    *(f"topic_{page}" for page in PAGES),
    *(f"stage_{page}" for page in PAGES[: PRICE - 1]),
    *("support_open", "onboarding", "problem_open", "usage", "usage_dip", "nps", "nps_known"),
    *("calls", "contacts", "promotions", "quiet_days", "discounted", "bought", "here_often"),
)


@dataclass
class State:
    """Of n customers, today. The first part is hidden, the second can be seen.

    Attributes
    ----------
    here : shape (n,)
        Who has not left.
    need : shape (n,)
        Index into `NEEDS`.
    satisfaction, fatigue : shape (n,)
        0 is usual, and rested.
    problem : shape (n,)
        Whether something is wrong, said or not.
    usage : shape (n,)
        How much they use us; falls while something is wrong, and with satisfaction. Noisy.
    problem_open : shape (n,)
        Whether they said so; the service may suspend promotions on it.
    stage : shape (n,)
        How far an open purchase has come, 0 to `STAGES`.
    support_open : shape (n,)
        Whether a question waits for an answer.
    onboarding, discounted : shape (n,)
        Days that are left of it.
    topics : shape (n, n_pages)
        Pages seen, each fading.
    page : shape (n,)
        Index into `PAGES` of the page they are on today, -1 for none.
    nps : shape (n,)
        Last score, from -1 (0 of 10) to 1; ``nan``: never asked.
    calls, contacts, promotions, bought : shape (n,)
        Counters that fade.
    seen_on : shape (n,)
        Day of the moment before.
    moments : shape (n, n_channels)
        How many there were on each channel, since they are customers.
    """

    here: Bools
    need: Ints
    satisfaction: Floats
    fatigue: Floats
    problem: Bools
    usage: Floats
    problem_open: Bools
    stage: Ints
    support_open: Bools
    onboarding: Ints
    discounted: Ints
    topics: Floats
    page: Ints
    nps: Floats
    calls: Floats
    contacts: Floats
    promotions: Floats
    bought: Floats
    seen_on: Ints
    moments: Floats


def first_state(people: Customers, rng: np.random.Generator) -> State:
    """How they are when we meet them."""
    n = len(people.age)
    whole, none = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    return State(
        here=~none,
        need=pick(people.needs, rng.random(n)),
        satisfaction=people.content + rng.normal(0, 0.3, n),
        fatigue=np.zeros(n),
        problem=rng.random(n) < PROBLEM_BEGINS / PROBLEM_ENDS,
        usage=np.zeros(n),
        problem_open=none.copy(),
        stage=whole.copy(),
        support_open=none.copy(),
        onboarding=whole.copy(),
        discounted=whole.copy(),
        topics=np.zeros((n, len(PAGES))),
        page=whole - 1,
        nps=np.full(n, np.nan),
        calls=np.zeros(n),
        contacts=np.zeros(n),
        promotions=np.zeros(n),
        bought=np.zeros(n),
        seen_on=whole - 1,
        moments=rng.poisson(8 * people.habit).astype(np.float64),
    )


def pick(chances: Floats, uniform: Floats) -> Ints:
    """An index for each row of ``chances`` (n, k), by a uniform number each (n,)."""
    index = (chances.cumsum(axis=1) < uniform[:, None]).sum(axis=1)
    # A sum may end a rounding error below 1; then the last that has a chance is meant.
    last = chances.shape[1] - 1 - (chances[:, ::-1] > 0).argmax(axis=1)
    found: Ints = np.minimum(index, last)
    return found


def overnight(state: State, people: Customers, rng: np.random.Generator) -> None:
    """A night passes: needs and journeys move on, problems come and go, fatigue wears off.

    Draws as many numbers whatever has happened, so that two policies meet the same chances.
    """
    n = len(people.age)
    chance = rng.random((9, n))
    _needs_change(state, people, chance[:3])
    _problems(state, people, chance[3:6])
    state.satisfaction += CONTENT_AGAIN * (people.content - state.satisfaction)
    state.satisfaction -= PROBLEM_ANGERS * state.problem
    state.satisfaction -= UNHELPED_ANGERS * (state.need == HELP)
    np.clip(state.satisfaction, -3, 3, out=state.satisfaction)
    state.fatigue *= FATIGUE_KEPT
    state.onboarding = np.maximum(state.onboarding - 1, 0)
    state.discounted = np.maximum(state.discounted - 1, 0)
    for counter, kept in (
        (state.topics, TOPIC_KEPT),
        (state.calls, CALL_KEPT),
        (state.contacts, CONTACT_KEPT),
        (state.promotions, FATIGUE_KEPT),
        (state.bought, 0.97),
    ):
        counter *= kept
    now = 0.5 * state.satisfaction - 1.6 * state.problem - 0.4 * state.fatigue
    now += rng.normal(0, 0.4, n)
    state.usage = 0.7 * state.usage + 0.3 * now
    calls = chance[6] < np.where(state.problem, 0.4, np.where(state.need == HELP, 0.1, 0.01))
    state.calls += calls
    answered = chance[7] < ANSWERS
    score = np.clip(0.2 + 0.45 * state.satisfaction + rng.normal(0, 0.3, n), -1, 1)
    state.nps = np.where(answered, score, state.nps)


def _needs_change(state: State, people: Customers, chance: Floats) -> None:
    changes = chance[0] < 1 / NEED_LASTS_DAYS
    new = pick(people.needs, chance[1])
    state.stage = np.where(changes & (new != state.need), 0, state.stage)
    state.need = np.where(changes, new, state.need)
    wants_help = state.need == HELP
    state.support_open |= wants_help & (chance[2] < SUPPORT_BEGINS)
    solved = state.support_open & (~wants_help | (chance[2] > 1 - SUPPORT_ENDS))
    state.support_open &= ~solved
    state.need = np.where(solved & wants_help, NOTHING, state.need)


def _problems(state: State, people: Customers, chance: Floats) -> None:
    begins = ~state.problem & (chance[0] < PROBLEM_BEGINS * (1 + people.rural))
    ends = state.problem & (chance[1] < PROBLEM_ENDS)
    state.problem = (state.problem | begins) & ~ends
    said = state.problem & (chance[2] < COMPLAINS)
    state.problem_open = (state.problem_open | said) & state.problem


def leaving(
    loyalty: Floats, satisfaction: Floats, fatigue: Floats, problem: Floats, dear: Floats,
    bound: Floats,
) -> Floats:  # fmt: skip
    """Chance to leave on a day; all of one shape, or of shapes that fit together.

    Parameters
    ----------
    loyalty
        Of `Customers`.
    problem, dear, bound
        Chance that something is wrong, that they find us dear, that a discount holds them (who is
        held finds nothing dear); 0 or 1 where that is known.
    """
    odds = np.exp(loyalty - ANGER * satisfaction + FATIGUE * fatigue)
    chance = np.zeros_like(odds)
    for wrong, share in ((PROBLEM, problem), (0.0, 1 - problem)):
        for more, part in (
            (DEAR, dear * (1 - bound)),
            (0.0, (1 - dear) * (1 - bound)),
            (-BOUND, bound),
        ):
            raised = odds * np.exp(wrong + more)
            chance += share * part * raised / (1 + raised)
    return chance


def leaving_today(state: State, people: Customers) -> Floats:
    """Chance that each leaves this evening, shape (n,)."""
    facts = state.problem, state.need == PRICE, state.discounted > 0
    known = (fact.astype(np.float64) for fact in facts)
    return leaving(people.loyalty, state.satisfaction, state.fatigue, *known)


def seen(state: State, people: Customers, who: Ints, channel: Ints, day: int) -> Floats:
    """What a service knows of these customers, shape (n, len(FEATURES)); about 0 to 1 or standard.

    Parameters
    ----------
    who : shape (n,)
        Indexes of customers.
    channel : shape (n,)
        Index into `CHANNELS` of the moment; -1: they are not here, so there is no page either.
    """
    age, plan = people.age[who], people.plan[who]
    page = np.where(channel < 0, -1, state.page[who])
    often = (state.moments[who] + 0.5) / (state.moments[who].sum(axis=1, keepdims=True) + 2.0)
    columns: list[NDArray[np.generic]] = [
        (age - 46) / 17, age < 32, age > 60, people.home_size[who] - 2,
        *(plan == index for index in range(len(PLANS))), people.rural[who],
        np.log1p(people.tenure_months[who]) - 3, people.margin_eur[who] / MARGIN_EUR,
        *(channel == index for index in range(len(CHANNELS))),
        *(page == index for index in range(len(PAGES))),
        *state.topics[who].T,
        *(state.stage[who] * (state.need[who] == index + 1) for index in range(PRICE - 1)),
        state.support_open[who], state.onboarding[who] > 0,
        state.problem_open[who], state.usage[who], state.usage[who] < DIP,
        np.nan_to_num(state.nps[who]), ~np.isnan(state.nps[who]),
        state.calls[who], state.contacts[who], state.promotions[who],
        np.log1p(day - state.seen_on[who]), state.discounted[who] > 0, state.bought[who],
        np.where(channel < 0, 0.0, often[np.arange(len(who)), channel]),
    ]  # fmt: skip
    return np.column_stack(columns).astype(np.float64)


def lost_eur(contexts: Floats) -> Floats:
    """What is lost with customers who leave, shape (n,); anybody can see their margin."""
    margin: Floats = contexts[:, FEATURES.index("margin")] * MARGIN_EUR
    return YEAR_MONTHS * margin
