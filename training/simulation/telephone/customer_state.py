"""The changing state of the simulated customers, and its daily changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.arrays import Bools, Floats, Ints
from training.simulation.draws import sample_categorical
from training.simulation.telephone.actions import HELP, NEEDS, NOTHING, PRICE
from training.simulation.telephone.customers import CustomerTraits

NEED_DAYS = 25.0
FATIGUE_RETENTION = 0.85  # share of the fatigue that is left on the next day
SATISFACTION_RECOVERY = 0.06  # share of the way back to the baseline in a day
PROBLEM_START, PROBLEM_END = 0.005, 0.05  # probability a day; twice the start in the country
PROBLEM_DISSATISFACTION, UNHELPED_DISSATISFACTION = 0.06, 0.03  # satisfaction lost a day
SUPPORT_START, SUPPORT_END = 0.5, 0.1
ONBOARDING_DAYS, DISCOUNT_DAYS = 12, 90
STAGES = 3  # of a purchase, after awareness
PAGE_SHOWS_NEED = 0.9  # probability that a customer with a need views its page
# Added to the logit of churn on a day for each unit of dissatisfaction, fatigue, problem,
# price sensitivity, and subtracted while a discount holds.
CHURN_DISSATISFACTION, CHURN_FATIGUE, CHURN_PROBLEM, CHURN_PRICE, CHURN_DISCOUNT = (
    1.1,
    0.30,
    1.1,
    1.3,
    1.0,
)
PAGES = NEEDS[1:]
TOPIC_RETENTION, CALL_RETENTION, CONTACT_RETENTION = (
    0.87,
    0.93,
    0.93,
)  # share of a counter that is left on the next day
COMPLAINT_PROBABILITY, SURVEY_PROBABILITY = 0.12, 0.1  # probability a day


@dataclass
class CustomerState:
    """State of n customers today. The attributes up to ``problem`` are hidden, the others observed.

    Attributes
    ----------
    here : shape (n,)
        True for customers who have not left.
    need : shape (n,)
        Index into `NEEDS`.
    satisfaction, fatigue : shape (n,)
        0: an average satisfaction, and no fatigue.
    problem : shape (n,)
        True if the customer has a problem, reported or not.
    usage : shape (n,)
        Use of the service, with noise; falls with a problem, fatigue and dissatisfaction.
    problem_open : shape (n,)
        True if the customer has reported the problem; promotions are suspended then.
    stage : shape (n,)
        Stage of an open purchase, 0 to `STAGES`.
    support_open : shape (n,)
        True if a support question is open.
    onboarding, discounted : shape (n,)
        Days that are left of onboarding, of a discount.
    topics : shape (n, n_pages)
        Counts of page views, with exponential decay.
    page : shape (n,)
        Index into `PAGES` of the page viewed today; -1: none.
    nps : shape (n,)
        Last survey score, from -1 (0 of 10) to 1; ``nan``: none yet.
    calls, contacts, promotions, bought : shape (n,)
        Counts with exponential decay.
    called, answered : shape (n,)
        True if the customer called, answered a survey today.
    last_day : shape (n,)
        Day of the last arrival.
    channel_counts : shape (n, n_channels)
        Number of arrivals on each channel.
    """

    active: Bools
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
    called: Bools
    answered: Bools
    last_day: Ints
    channel_counts: Floats


def initial_state(traits: CustomerTraits, rng: np.random.Generator) -> CustomerState:
    """Draw the state of the customers before the first day."""
    n = len(traits.age)
    whole, none = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    return CustomerState(
        active=~none,
        need=sample_categorical(traits.need_shares, rng.random(n)),
        satisfaction=traits.baseline_satisfaction + rng.normal(0, 0.3, n),
        fatigue=np.zeros(n),
        problem=rng.random(n) < PROBLEM_START / PROBLEM_END,
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
        called=none.copy(),
        answered=none.copy(),
        last_day=whole - 1,
        channel_counts=rng.poisson(8 * traits.channel_share).astype(np.float64),
    )


def advance_day(state: CustomerState, traits: CustomerTraits, rng: np.random.Generator) -> None:
    """Change needs, journeys, problems, satisfaction and fatigue from one day to the next.

    The number of draws does not depend on the state: two policies meet the same random numbers.
    """
    n = len(traits.age)
    uniform = rng.random((9, n))
    _change_needs(state, traits, uniform[:3])
    _change_problems(state, traits, uniform[3:6])
    state.satisfaction += SATISFACTION_RECOVERY * (
        traits.baseline_satisfaction - state.satisfaction
    )
    state.satisfaction -= PROBLEM_DISSATISFACTION * state.problem
    state.satisfaction -= UNHELPED_DISSATISFACTION * (state.need == HELP)
    np.clip(state.satisfaction, -3, 3, out=state.satisfaction)
    state.fatigue *= FATIGUE_RETENTION
    state.onboarding = np.maximum(state.onboarding - 1, 0)
    state.discounted = np.maximum(state.discounted - 1, 0)
    for counter, kept in (
        (state.topics, TOPIC_RETENTION),
        (state.calls, CALL_RETENTION),
        (state.contacts, CONTACT_RETENTION),
        (state.promotions, FATIGUE_RETENTION),
        (state.bought, 0.97),
    ):
        counter *= kept
    now = 0.5 * state.satisfaction - 1.6 * state.problem - 0.4 * state.fatigue
    now += rng.normal(0, 0.4, n)
    state.usage = 0.7 * state.usage + 0.3 * now
    state.called = uniform[6] < np.where(
        state.problem, 0.4, np.where(state.need == HELP, 0.1, 0.01)
    )
    state.calls += state.called
    state.answered = uniform[7] < SURVEY_PROBABILITY
    score = np.clip(0.2 + 0.45 * state.satisfaction + rng.normal(0, 0.3, n), -1, 1)
    state.nps = np.where(state.answered, score, state.nps)


def _change_needs(state: CustomerState, traits: CustomerTraits, uniform: Floats) -> None:
    changes = uniform[0] < 1 / NEED_DAYS
    new = sample_categorical(traits.need_shares, uniform[1])
    state.stage = np.where(changes & (new != state.need), 0, state.stage)
    state.need = np.where(changes, new, state.need)
    wants_help = state.need == HELP
    state.support_open |= wants_help & (uniform[2] < SUPPORT_START)
    solved = state.support_open & (~wants_help | (uniform[2] > 1 - SUPPORT_END))
    state.support_open &= ~solved
    state.need = np.where(solved & wants_help, NOTHING, state.need)


def _change_problems(state: CustomerState, traits: CustomerTraits, uniform: Floats) -> None:
    starts = ~state.problem & (uniform[0] < PROBLEM_START * (1 + traits.rural))
    ends = state.problem & (uniform[1] < PROBLEM_END)
    state.problem = (state.problem | starts) & ~ends
    reported = state.problem & (uniform[2] < COMPLAINT_PROBABILITY)
    state.problem_open = (state.problem_open | reported) & state.problem


def churn_probability(
    churn_logit: Floats,
    satisfaction: Floats,
    fatigue: Floats,
    problem: Floats,
    price: Floats,
    held: Floats,
) -> Floats:
    """Compute the probability that a customer leaves on a day; shapes broadcast.

    Parameters
    ----------
    churn_logit
        Of `CustomerTraits`.
    problem, price, held
        Probability of a problem, of a need for a lower price, and of a running discount; 0 or 1
        where the state is known. A customer with a discount does not need a lower price.
    """
    odds = np.exp(churn_logit - CHURN_DISSATISFACTION * satisfaction + CHURN_FATIGUE * fatigue)
    total = np.zeros_like(odds)
    for problem_logit, problem_share in ((CHURN_PROBLEM, problem), (0.0, 1 - problem)):
        for price_logit, share in (
            (CHURN_PRICE, price * (1 - held)),
            (0.0, (1 - price) * (1 - held)),
            (-CHURN_DISCOUNT, held),
        ):
            raised = odds * np.exp(problem_logit + price_logit)
            total += problem_share * share * raised / (1 + raised)
    return total


def churn_today(state: CustomerState, traits: CustomerTraits) -> Floats:
    """Compute the probability that each customer leaves today, shape (n,)."""
    flags = state.problem, state.need == PRICE, state.discounted > 0
    known = (flag.astype(np.float64) for flag in flags)
    return churn_probability(traits.churn_logit, state.satisfaction, state.fatigue, *known)
