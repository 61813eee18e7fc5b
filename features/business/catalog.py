"""The action catalogue: all actions and the rules for choosing one, as business people edit it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from features.business.catalog_rules import (
    LEAVING,
    Arbitration,
    Arms,
    ArmsOfControlGroup,
    Budget,
    Clock,
    Condition,
    ContactPolicyRules,
    ContextKey,
    ControlGroup,
    Group,
    Guardrail,
    Kind,
    Money,
    Pacing,
    Purpose,
    SignedMoney,
    Volume,
    WindowDays,
)
from features.business.domain import Domain, score_of
from features.business.experiment.prior import Prior
from features.business.experiment.priority_objective import ObjectiveKeys
from features.business.journey_rules.step_checks import check_address
from features.business.yaml_file import Frozen, Name
from features.business.yaml_mistakes import Mistakes
from features.nearest_names import did_you_mean

NO_ACTION = "no_action"
DEFAULT_GROUP = Group()  # stands for a group that the file does not describe


class Outcome(Frozen):
    """An outcome and the acceptance that it stands for; ``None`` if it does not tell yet.

    A ``reaction`` ends a row of showings without a reaction. If ``reaction`` is left out, every
    outcome with an acceptance is one.
    """

    acceptance: Annotated[float, Field(ge=0, le=1)] | None
    reaction: bool | None = None

    @property
    def is_reaction(self) -> bool:
        """True if the outcome is a reaction of the customer."""
        return self.acceptance is not None if self.reaction is None else self.reaction


class ExpectedOutcome(Frozen):
    """An outcome that an action may have: its reward, and how long it is credited to the action.

    ``reward: told`` takes the ``value`` that is reported with the outcome.
    """

    reward: SignedMoney | Literal["told"]
    attribution_days: WindowDays | None = None  # default: that of the action


class Action(Frozen):
    """One action. ``value`` and ``cost`` are in the domain's currency.

    ``value`` is what an acceptance brings; below 0 where it costs margin, as a discount does.
    ``for: left`` keeps it for customers who have left (`Domain.leaving_event`). They get no other
    action of the kinds ``promotion`` and ``retention``. ``addresses`` names what it shall make
    better: a kind of journey, or one of its promises or steps, as in ``delivery.on_time``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    issue: Name
    group: Name
    description: str = ""
    value: SignedMoney
    cost: Money
    lever: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    prior: Prior
    attribution_days: WindowDays
    outcomes: dict[Name, ExpectedOutcome] = {}  # if empty, the reward is acceptance x value
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    # These two are left out of the JSON if not set, so that fingerprints of older catalogues stay.
    only_for: Annotated[
        Literal["left"] | None, Field(alias="for", exclude_if=lambda named: named is None)
    ] = None
    addresses: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=260)], ...],
        Field(max_length=50, exclude_if=lambda named: not named),
    ] = ()
    eligibility: tuple[Condition, ...] = ()
    applicability: tuple[Condition, ...] = ()
    suitability: tuple[Condition, ...] = ()
    volume: Volume | None = None
    budget: Name | None = None
    treatments: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        if self.start and self.end and not self.start < self.end:
            raise ValueError("end: a time after start")
        for name, expected in self.outcomes.items():
            if (expected.attribution_days or 0) > self.attribution_days:
                raise ValueError(
                    f"outcomes.{name}.attribution_days: at most the action's own, "
                    f"{self.attribution_days:g}"
                )
        return self

    def runs_at(self, now: datetime) -> bool:
        """True if the action has started and not ended."""
        return not (self.start and now < self.start) and not (self.end and now >= self.end)


class Catalog(ObjectiveKeys):
    """All actions, their possible outcomes, and the rules for choosing an action."""

    context: dict[Name, ContextKey] = {}
    clock: Clock = Clock()
    outcomes: Annotated[dict[Name, Outcome], Field(min_length=1)]
    attribution: Literal["last_touch", "first_touch", "even"] = "last_touch"
    purposes: dict[Name, Purpose] = {}
    groups: dict[Name, Group] = {}
    contact_policy: ContactPolicyRules = ContactPolicyRules()
    arbitration: Arbitration = Arbitration()
    budgets: dict[Name, Budget] = {}
    pacing: Pacing = Pacing()
    # Of these two one is in the JSON, so that fingerprints of older catalogues stay.
    control_group: Annotated[ControlGroup | None, Field(exclude_if=lambda group: group is None)] = (
        None
    )
    arms: Annotated[Arms, Field(exclude_if=lambda arms: isinstance(arms, ArmsOfControlGroup))] = (
        ArmsOfControlGroup()
    )
    # Left out of the JSON if empty, so that fingerprints of older catalogues stay.
    guardrails: Annotated[
        dict[Name, Guardrail], Field(max_length=50, exclude_if=lambda named: not named)
    ] = {}
    actions: Annotated[dict[Name, Action], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _no_action_is_ours(self) -> Self:
        if NO_ACTION in self.actions:
            raise ValueError(f"actions.{NO_ACTION}: no such line; it is always there by itself")
        return self

    @model_validator(mode="after")
    def _arms_of_control_group(self) -> Self:
        group = self.control_group
        if not isinstance(self.arms, ArmsOfControlGroup):
            if group is not None:
                raise ValueError(
                    "control_group: no such line beside 'arms', whose 'random' is its share"
                )
            return self
        group = group or ControlGroup()
        values = self.__dict__  # a frozen model refuses assignments
        values["control_group"] = group
        values["arms"] = ArmsOfControlGroup(random=group.share, salt=group.salt)
        return self

    @model_validator(mode="after")
    def _names_that_exist(self) -> Self:
        mistakes = Mistakes()
        unknown = mistakes.unknown
        for name, action in self.actions.items():
            unknown(("actions", name, "outcomes"), action.outcomes, self.outcomes)
            if action.budget:
                mistakes.unknown_value(("actions", name, "budget"), action.budget, self.budgets)
        for name, group in self.groups.items():
            if group.purpose:
                mistakes.unknown_value(("groups", name, "purpose"), group.purpose, self.purposes)
        groups = {action.group for action in self.actions.values()} | set(self.groups)
        issues = {action.issue for action in self.actions.values()}
        policy = self.contact_policy
        for kind in ("caps", "cool_downs", "quiet_hours"):
            for index, scope in enumerate(getattr(policy, kind)):
                where = f"contact_policy.{kind}.{index}"
                unknown(f"{where}.groups", scope.groups, groups)
                unknown(f"{where}.actions", scope.actions, self.actions)
        for index, rule in enumerate(policy.cool_downs):
            unknown(f"contact_policy.cool_downs.{index}.after", rule.after, self.outcomes)
        for index, weight in enumerate(self.arbitration.context_weights):
            where = f"arbitration.context_weights.{index}"
            unknown(f"{where}.issues", weight.issues, issues)
            unknown(f"{where}.groups", weight.groups, groups)
            unknown(f"{where}.actions", weight.actions, self.actions)
        mistakes.refuse()
        return self

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content: two catalogues with the same fingerprint decide alike.

        It is computed once, as each decision logs it. So a changed catalogue must be read again,
        not made by ``model_copy``.
        """
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def with_parts(self, **parts: object) -> Catalog:
        """Read the catalogue anew with other parts, such as other ``arms``.

        A copy (``model_copy``) would keep the fingerprint.
        """
        content = self.model_dump(by_alias=True)
        if not {"arms", "control_group"}.isdisjoint(parts):  # each stands for the other
            content.pop("arms", None), content.pop("control_group", None)
        return Catalog.model_validate(content | parts)

    @property
    def priors(self) -> dict[str, tuple[float, float]]:
        """The prior acceptance of each action, and its weight in observations."""
        return {
            name: (action.prior.acceptance, action.prior.weight)
            for name, action in self.actions.items()
        }

    @property
    def groups_of(self) -> dict[str, str]:
        """The group of each action."""
        return {name: action.group for name, action in self.actions.items()}

    def group_of(self, action: Action) -> Group:
        """Return the group of an action."""
        return self.groups.get(action.group, DEFAULT_GROUP)

    def kind_of(self, group: str) -> Kind:
        """Return the kind of the actions of a group."""
        return self.groups.get(group, DEFAULT_GROUP).kind

    def offered_on(self, channel: str) -> Iterable[str]:
        """Name the actions that have a treatment for the channel, in the order of the file."""
        return (name for name, action in self.actions.items() if channel in action.treatments)


def check_against_domain(catalog: Catalog, domain: Domain) -> None:
    """Refuse a catalogue that names channels, journeys or attributes that the domain has not.

    Raises
    ------
    Mistakes
        With all of them.
    """
    mistakes = Mistakes()
    unknown = mistakes.unknown
    for name, action in catalog.actions.items():
        unknown(("actions", name, "treatments"), action.treatments, domain.channels)
        for index, named in enumerate(action.addresses):
            check_address(domain, named, ("actions", name, "addresses", index), mistakes)
        if action.only_for and domain.leaving_event is None:
            expected = "nothing, as the domain has no 'churn' with 'when: happens'"
            mistakes.add(("actions", name, "for"), expected, "Delete that line.")
    policy = catalog.contact_policy
    unknown("contact_policy.outbound", policy.outbound, domain.channels)
    for kind in ("caps", "cool_downs", "quiet_hours"):
        for index, scope in enumerate(getattr(policy, kind)):
            where = f"contact_policy.{kind}.{index}.channels"
            unknown(where, scope.channels, domain.channels)
    for name, guardrail in catalog.guardrails.items():
        _check_guardrail(name, guardrail, domain, mistakes)
    zone = catalog.clock.attribute
    known = domain.attributes.get(zone) if zone else None
    if zone and not (known and known.read and known.type == "category"):
        kept = [name for name, one in domain.attributes.items() if one.type == "category"]
        expected = "an attribute of the domain that is a category"
        mistakes.add("clock.attribute", expected, did_you_mean([zone], kept))
    mistakes.refuse()


def _check_guardrail(name: str, guardrail: Guardrail, domain: Domain, mistakes: Mistakes) -> None:
    """Check that the domain has what a guardrail counts, and a score where one is compared."""
    where = ("guardrails", name, "counts")
    if guardrail.counts == LEAVING:
        if domain.churn is None:
            expected = "a type of event, as the domain does not define 'churn'"
            mistakes.add(where, expected, "Define it, or count an event.")
    elif guardrail.counts not in domain.events:
        mistakes.unknown_value(where, guardrail.counts, (LEAVING, *domain.events))
        return
    if guardrail.at_most is not None and score_of(domain, guardrail.counts) is None:
        expected = "nothing, as 'counts' names no event with one score (nps, csat, ces or rating)"
        mistakes.add(("guardrails", name, "at_most"), expected, "Delete that line.")
