"""The true expected value of each action of the shop, along the customer's mean path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Ints
from training.simulation.shop.actions import (
    APOLOGY,
    COST,
    DISCOUNT,
    FLASH_SALE,
    RETURNS,
    SEEN_STRENGTH,
    VISITS,
)
from training.simulation.shop.seasons import season_of, week_factor
from training.simulation.shop.shopper_state import (
    GOODWILL_RECOVERY,
    HUNGER_AFTER_ORDER,
    HUNGER_RECOVERY,
    IRRITATION_KEPT,
    PLEASURE,
    WAITING_KEPT,
    WAITING_PER_DISCOUNT,
    ShopState,
)
from training.simulation.shop.shoppers import ShopTraits
from training.simulation.shop.true_effects import (
    MAX_ORDER,
    MAX_RETURN,
    click_probability,
    effect_lasts,
    goodwill_added,
    irritation_added,
    lapse_probability,
    largest_discount,
    margin_of_order,
    mean_strength,
    order_effects,
    order_harm,
    pleasure,
    problem_harm,
    regret_by_day,
    return_factor,
    waiting_factor,
)

HORIZON_DAYS = 60  # regret comes up to 33 days after a flash sale, and then lasts for weeks
_PROBLEM = problem_harm(HORIZON_DAYS)
_PROBLEMS, _RETURNS = order_harm(HORIZON_DAYS)


@dataclass
class _Path:
    """Mean state of each customer after each action, arrays of shape (n, K)."""

    alive: Floats
    hunger: Floats
    goodwill: Floats
    problem: Floats  # probability that the problem of today is not solved by the action
    waiting: Floats
    added_irritation: Floats
    irritation: Floats  # without the action, shape (n, n_channels)
    margin: Floats
    orders: Floats  # until now


class _Day(NamedTuple):
    """Effects of a day, arrays of shape (n, K).

    Attributes
    ----------
    factor
        Multiplies the chance of an order, that of the visit included.
    discount
        Mean over the orders.
    """

    factor: Floats
    discount: Floats
    returns: Floats
    pleasure: Floats


class _Effects:
    """The effects that run on each day to come: those that run already, and the new one."""

    def __init__(self, state: ShopState, traits: ShopTraits, customer: Ints, click: Floats) -> None:
        self._days, self._strength = state.running_days[customer], state.strength[customer]
        self._click, self._orders = click, order_effects(state, traits, customer)

    def after(self, days: int) -> _Day:
        """Compute the effects some days from now."""
        running = np.where(self._days > days, self._strength, 0.0)
        lasts, click = effect_lasts(days), self._click
        # Today's visit has been drawn, or there is none.
        visits = VISITS if days else np.zeros_like(VISITS)
        more_orders = 1 + (running * self._orders).sum(axis=1)[:, None]
        more_visits = 1 + (running @ visits)[:, None]
        # An effect that runs already can only become stronger. Clicked or only seen:
        full = 1 - running
        seen = np.maximum(SEEN_STRENGTH - running, 0)
        clicked = (
            lasts * click * (more_orders + full * self._orders) * (more_visits + full * visits)
        )
        ignored = (more_orders + seen * self._orders) * (more_visits + seen * visits)
        factor = clicked + lasts * (1 - click) * ignored + (1 - lasts) * more_orders * more_visits
        before = largest_discount(running)[:, None]
        discount = before + np.maximum(DISCOUNT - before, 0) * clicked / factor
        added = lasts * (click * full + (1 - click) * seen)
        joy = np.repeat(pleasure(running)[:, None], added.shape[1], axis=1)
        joy[:, FLASH_SALE] += PLEASURE * added[:, FLASH_SALE]
        returns = return_factor(running)[:, None] * (1 + added * (RETURNS - 1))
        return _Day(factor, discount, returns, joy)


def expected_values(
    state: ShopState,
    traits: ShopTraits,
    customer: Ints,
    channel: Ints,
    visiting: Floats,
    day: int,
) -> Floats:
    """Compute the expected value of each action now, in euro, shape (n, K); 0 for `no_action`.

    Margin of orders with discounts and returns deducted, less the cost, less the probability to
    lapse times the loss, each within `HORIZON_DAYS` and less the same without the action. The state
    follows its mean path without further contacts; clicks, and what problems and returns do to
    lapses, are averaged over their distributions. Left out: the mean path is not the mean over
    paths; a contact changes what later contacts earn; an e-mail may end the subscription; and the
    simulation ends, so some who lapse are not seen as lost before its last day.

    Parameters
    ----------
    customer, channel : shape (n,)
    visiting : shape (n,)
        1 for customers who visit now, 0 for those who get an e-mail.
    """
    click = click_probability(state, traits, customer, channel)
    path = _begin(state, traits, customer, channel, click)
    effects, regret = _Effects(state, traits, customer, click), regret_by_day()
    strength = mean_strength(click)[:, FLASH_SALE]
    kept = IRRITATION_KEPT[channel][:, None]
    visits = visiting
    for after in range(HORIZON_DAYS):
        if after:
            _next_morning(path, traits, customer, kept)
            visits = traits.visit_rate[customer] * week_factor(day + after)
            if day + after < state.shocks.shape[1]:
                path.goodwill -= state.shocks[customer, day + after][:, None]
            if after < len(regret):
                path.goodwill[:, FLASH_SALE] -= regret[after] * strength
        rate = visits * traits.order_rate[customer] * season_of(traits.taste[customer], day + after)
        _live(path, traits, customer, effects.after(after), rate[:, None], after)
    value = path.margin - (1 - path.alive) * traits.lost_eur[customer][:, None]
    added: Floats = value - value[:, :1] - COST
    return added


def _begin(
    state: ShopState, traits: ShopTraits, customer: Ints, channel: Ints, click: Floats
) -> _Path:
    """The state just after each action."""

    def each(values: NDArray[Any]) -> Floats:
        return np.repeat(values[customer].astype(np.float64)[:, None], click.shape[1], axis=1)

    problem = each(state.problem)
    problem[:, APOLOGY] *= 1 - click[:, APOLOGY]
    return _Path(
        each(state.alive),
        each(state.hunger),
        each(state.goodwill) + goodwill_added(state, customer, click),
        problem,
        each(state.waiting),
        irritation_added(traits, customer, channel),
        state.irritation[customer].copy(),
        np.zeros_like(click),
        np.zeros_like(click),
    )


def _live(
    path: _Path, traits: ShopTraits, customer: Ints, today: _Day, rate: Floats, after: int
) -> None:
    """Let a day pass: orders, then lapses."""
    wait = waiting_factor(traits.price_sensitivity[customer][:, None], path.waiting)
    orders = np.minimum(rate * path.hunger * today.factor * wait, MAX_ORDER)
    returns = np.minimum(traits.return_rate[customer][:, None] * today.returns, MAX_RETURN)
    amount = traits.amount_eur[customer][:, None]
    path.margin += path.alive * orders * margin_of_order(amount, today.discount, returns)
    path.orders += orders
    path.hunger *= 1 - orders * (1 - HUNGER_AFTER_ORDER)
    path.waiting += (1 - path.waiting) * orders * WAITING_PER_DISCOUNT * (today.discount / 0.1)
    irritation = path.irritation.sum(axis=1)[:, None] + path.added_irritation
    a_day = path.orders / (after + 1)
    harm = 1 + path.problem * _PROBLEM[after]
    harm *= 1 + a_day * (_PROBLEMS[after] + returns * _RETURNS[after])
    logit = traits.lapse_logit[customer][:, None]
    path.alive *= 1 - lapse_probability(logit, path.goodwill + today.pleasure, irritation, harm)


def _next_morning(path: _Path, traits: ShopTraits, customer: Ints, kept: Floats) -> None:
    """Let the state recover from one day to the next."""
    path.irritation *= IRRITATION_KEPT
    path.added_irritation *= kept
    path.goodwill += GOODWILL_RECOVERY * (traits.goodwill[customer][:, None] - path.goodwill)
    path.hunger += HUNGER_RECOVERY * (1 - path.hunger)
    path.waiting *= WAITING_KEPT
