"""The compiled catalogue: conditions and treatments are compiled, numbers stand in columns.

The whole catalogue is compiled when it is read. A mistake is then reported with its file, line
and key, and never reaches a customer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from features.business.catalog import NO_ACTION, Action, Catalog, check_against_domain
from features.business.domain import Domain
from features.business.experiment.prior import ConditionalPrior
from features.business.experiment.priority_objective import default_objective
from features.business.yaml_file import load_yaml
from features.business.yaml_mistakes import Mistakes, Where, mistakes_in
from features.conditions.conditions import Conditions, Formula
from features.conditions.declared_values import refuse_other_values
from features.conditions.expressions import Reader
from features.conditions.impossible import first_excluded, refuse_impossible
from features.conditions.names import Names
from features.conditions.terms import Term
from features.errors import InvalidCondition
from features.journeys.model_input import ModelInput
from serving.catalog.decision_context import ContextReader
from serving.catalog.treatments import Treatment
from training.arrays import Bools

LEVELS = ("eligibility", "applicability", "suitability")
MAX_CONDITIONS = 10_000  # and the next: each takes up to some milliseconds to compile
MAX_WORDINGS = 20_000
FORMULA_NAMES = ("acceptance", "added_value", "context_weight", "value", "lever", "cost")


class CompiledCatalog:
    """A catalogue, compiled for one business.

    Parameters
    ----------
    strict : bool
        Whether to refuse conditions that can never hold. A catalogue of the ledger is compiled
        without, as the values of the domain may have changed since it decided.

    Raises
    ------
    Mistakes
        With the key of each mistake, if a line breaks a rule.

    Attributes
    ----------
    actions : tuple of str
        In the order of the file; all columns have this order.
    value, cost : shape (n_actions,)
        In the domain's currency.
    lever : shape (n_actions,)
        Factor of the value.
    adds : shape (n_actions,)
        What showing each is assumed to add beyond its acceptance, where no condition says it.
    conditions : Conditions
        Each distinct text of the catalogue once.
    rules : list of (action, level, condition)
        Positions: each action with a condition that it needs, in the order of evaluation.
    weights : list of (condition, mask shape (n_actions,), weight)
    priors : list of (action, list of (condition, ConditionalPrior))
        The conditional priors of each action that has some, in the order of the file.
    customers_leave : bool
        Whether the domain has an event by which customers leave.
    remaining : RemainingValue or None
        How the remaining value of a customer is read; None: the priority does not count leaving.
    """

    def __init__(
        self, catalog: Catalog, domain: Domain, model_input: ModelInput, *, strict: bool = False
    ) -> None:
        mistakes = Mistakes()
        with mistakes.caught():
            check_against_domain(catalog, domain)
        self.catalog, self.currency = catalog, domain.currency
        self.customers_leave = domain.leaving_event is not None
        self.remaining = domain.objective.remaining_value if catalog.pays_effects else None
        self.actions = tuple(catalog.actions)
        each = list(catalog.actions.values())
        self.value = np.array([action.value for action in each])
        self.lever = np.array([action.lever for action in each])
        self.cost = np.array([action.cost for action in each])
        adds = [action.prior.adds for action in each]
        self.adds = np.array([-catalog.assumed_cost if one is None else one for one in adds])
        self.groups = tuple(action.group for action in each)
        self.kinds = tuple(catalog.kind_of(group) for group in self.groups)
        self.index = {name: number for number, name in enumerate(self.actions)}
        self.context_reader = ContextReader(domain, catalog, model_input)
        self._compile(catalog, mistakes, strict)
        self._compile_formula(catalog, mistakes, strict)
        self._treatments = self._compile_treatments(catalog, mistakes)
        mistakes.refuse()
        self.offered = {
            channel: np.array([channel in action.treatments for action in each])
            for channel in domain.channels
        }

    def mask(self, **scope: Iterable[str]) -> Bools:
        """Mask of the actions within a scope, shape (n_actions,).

        Parameters
        ----------
        scope
            Names by ``issues``, ``groups``, ``actions`` or ``kinds``; an empty one means all.
        """
        have: dict[str, tuple[str, ...]] = {
            "issues": tuple(action.issue for action in self.catalog.actions.values()),
            "groups": self.groups,
            "actions": self.actions,
            "kinds": self.kinds,
        }
        mask = np.ones(len(self.actions), dtype=bool)
        for name, values in scope.items():
            if chosen := set(values):
                mask &= np.array([value in chosen for value in have[name]])
        return mask

    def action(self, name: str) -> Action | None:
        """An action by name; None for `no_action`."""
        return None if name == NO_ACTION else self.catalog.actions[name]

    def treatment(self, name: str, channel: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The treatment of an action on a channel, with the values filled in."""
        return self._treatments[name, channel].fill(values)

    def names_in_treatment(self, name: str, channel: str) -> tuple[str, ...]:
        """Names whose values the treatment of an action on a channel needs."""
        return self._treatments[name, channel].names

    def _compile(self, catalog: Catalog, mistakes: Mistakes, strict: bool) -> None:
        names, position = self.context_reader.names, dict[str, int]()
        self.rules: list[tuple[int, int, int]] = []
        keys: dict[str, list[Where]] = {}

        def add(text: str, *key: str | int) -> int:
            keys.setdefault(text, []).append(key)
            return position.setdefault(text, len(position))

        for number, (name, action) in enumerate(catalog.actions.items()):
            for level, kind in enumerate(LEVELS):
                for index, text in enumerate(getattr(action, kind)):
                    condition = add(text, "actions", name, kind, index)
                    self.rules.append((number, level, condition))
        self.priors = [
            (number, _conditional(name, action, add))
            for number, (name, action) in enumerate(catalog.actions.items())
            if action.prior.where
        ]
        self.weights = [
            (
                add(weight.when, "arbitration", "context_weights", index, "when"),
                self.mask(issues=weight.issues, groups=weight.groups, actions=weight.actions),
                weight.weight,
            )
            for index, weight in enumerate(catalog.arbitration.context_weights)
        ]
        self.texts = tuple(position)
        if len(keys) > MAX_CONDITIONS:
            last = list(keys.values())[MAX_CONDITIONS][0]
            mistakes.add(last, f"at most {MAX_CONDITIONS:,} different conditions in a catalogue")
            return
        reader, terms = Reader(names), dict[str, Term]()
        for text, where in keys.items():
            with _collected(mistakes, where):
                term = reader.condition(text)
                if strict:
                    refuse_impossible(text, term, names)
                terms[text] = term
        if strict:
            _refuse_exclusive(catalog, terms, names, mistakes)
        if len(terms) == len(self.texts):
            self.conditions = Conditions(names, self.texts, terms)

    def _compile_formula(self, catalog: Catalog, mistakes: Mistakes, strict: bool) -> None:
        names, formula = self.context_reader.names, catalog.arbitration.formula
        self.formula: Formula | None = None
        if formula is not None:
            with _collected(mistakes, [("arbitration", "formula")]):
                self.formula = Formula(names, formula, FORMULA_NAMES)
                if strict:
                    refuse_other_values(formula, self.formula.term, names)

    def _compile_treatments(
        self, catalog: Catalog, mistakes: Mistakes
    ) -> dict[tuple[str, str], Treatment]:
        compiled, count = {}, 0
        for name, action in catalog.actions.items():
            for channel, content in action.treatments.items():
                above = ("actions", name, "treatments", channel)
                try:
                    made = Treatment(content, self.context_reader.names)
                except Mistakes as error:
                    mistakes.found += mistakes_in(error, above)
                    continue
                compiled[name, channel] = made
                count += made.templates_n
                if count > MAX_WORDINGS:
                    mistakes.add(above, f"at most {MAX_WORDINGS:,} texts with names in a catalogue")
                    return compiled
        return compiled


def _conditional(
    name: str, action: Action, add: Callable[..., int]
) -> list[tuple[int, ConditionalPrior]]:
    """The conditional priors of an action, each with its condition."""
    where = ("actions", name, "prior", "where")
    return [
        (add(one.when, *where, index, "when"), one) for index, one in enumerate(action.prior.where)
    ]


def _refuse_exclusive(
    catalog: Catalog, terms: Mapping[str, Term], names: Names, mistakes: Mistakes
) -> None:
    """Collect the actions whose conditions exclude each other, so that nobody ever gets them."""
    for name, action in catalog.actions.items():
        places: list[tuple[Where, str]] = [
            (("actions", name, level, index), text)
            for level in LEVELS
            for index, text in enumerate(getattr(action, level))
            if text in terms
        ]
        excluded = first_excluded([terms[text] for _, text in places], names)
        if excluded is not None:
            index, about = excluded
            expected = f"a condition that can hold together with the others of {name}"
            mistakes.add(places[index][0], f"{expected}: no value of {about} fulfils all of them")


@contextmanager
def _collected(mistakes: Mistakes, where: Iterable[Where]) -> Iterator[None]:
    """Collect the refusal of an expression, for each place at which it stands."""
    try:
        yield
    except InvalidCondition as error:
        for key in where:
            mistakes.add(key, f"{error.expected}; the present one {error.wrong}", error.remedy)


def load_compiled_catalog(path: Path, domain: Domain, model_input: ModelInput) -> CompiledCatalog:
    """Read, check and compile an action catalogue.

    Where the file names no objective, that of the domain is written into the catalogue, so that
    the ledger says by which one it decided.

    Raises
    ------
    InvalidDomain
        If the file breaks a rule; names file, line, key and remedy.
    """
    made: list[CompiledCatalog] = []

    def compile_read(catalog: Catalog) -> None:
        named = "objective" in catalog.model_fields_set
        found = default_objective(domain, catalog.arbitration.formula)
        said = catalog if named else catalog.with_parts(objective=found)
        made.append(CompiledCatalog(said, domain, model_input, strict=True))

    load_yaml(path, Catalog, compile_read)
    return made[-1]


def load_catalog(path: Path, domain: Domain) -> Catalog:
    """Read and check an action catalogue; raises like `load_compiled_catalog`."""
    return load_compiled_catalog(path, domain, ModelInput(domain)).catalog
