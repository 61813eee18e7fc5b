"""Checks the conditions of personas, which speak of features and attributes.

The domain file is read before there is a fold, and the fold knows the names of features. So
`open_domain` reads the file together with both, and is what servers and commands call.
"""

from __future__ import annotations

from pathlib import Path

from features.business.domain import Domain, load_domain
from features.business.yaml_mistakes import Mistakes
from features.conditions.expressions import Names, Reader
from features.conditions.impossible import refuse_impossible
from features.conditions.terms import Kind
from features.errors import InvalidCondition
from features.journeys.model_input import ModelInput

EXPECTED = "a feature or an attribute"


def open_domain(path: Path) -> Domain:
    """Read a domain file, and check the conditions of its personas.

    Raises
    ------
    InvalidDomain
        If it breaks a rule; names file, line, key and remedy.
    """
    return load_domain(path, check_personas)


def persona_names(domain: Domain, model_input: ModelInput) -> Names:
    """Return the names that the condition of a persona may use.

    They are the features of the row that models read, and the attributes in it: a category is a
    text, and all else is a number. Predictions are none of them, as a persona outlives a model.
    """
    categories = {
        name: known.values
        for name, known in domain.attributes.items()
        if known.read and known.type == "category"
    }
    kinds: dict[str, Kind] = {
        name: "text" if name in categories else "number" for name in model_input.names
    }
    return Names(kinds, categories, expected=EXPECTED)


def check_personas(domain: Domain) -> None:
    """Refuse personas whose condition cannot be read, or can never hold.

    Raises
    ------
    Mistakes
        With all of them.
    """
    if not domain.personas:
        return
    names, mistakes = persona_names(domain, ModelInput(domain)), Mistakes()
    reader = Reader(names)
    for name, persona in domain.personas.items():
        try:
            refuse_impossible(persona.when, reader.condition(persona.when), names)
        except InvalidCondition as error:
            expected = f"{error.expected}; the present one {error.wrong}"
            mistakes.add(("personas", name, "when"), expected, error.remedy)
    mistakes.refuse()
