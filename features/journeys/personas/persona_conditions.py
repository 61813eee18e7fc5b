"""Checks the conditions of personas, which speak of features and attributes.

The domain file is read before there is a fold, and the fold knows the names of features. So
`open_domain` reads the file together with both, and is what servers and commands call.
"""

from __future__ import annotations

from pathlib import Path

from features.business.domain import Domain, load_domain
from features.business.yaml_mistakes import Mistakes
from features.conditions.impossible import refuse_impossible
from features.conditions.names import Names
from features.conditions.terms import Kind
from features.errors import InvalidCondition
from features.journeys.fold import Fold

EXPECTED = "an attribute or a feature"


def open_domain(path: Path) -> Domain:
    """Read a domain file, and check the conditions of its personas.

    Raises
    ------
    InvalidDomain
        If it breaks a rule; names file, line, key and remedy.
    """
    return load_domain(path, check_personas)


def persona_names(domain: Domain, fold: Fold) -> Names:
    """Return the names that the condition of a persona may use.

    They are the attributes and the features of the fold: a category is a text, and all else is a
    number. Predictions are none of them, as a persona outlives a model.
    """
    of = domain.attributes.items()
    categories = {name: known.values for name, known in of if known.type == "category"}
    kinds: dict[str, Kind] = {name: "text" if name in categories else "number" for name, _ in of}
    kinds |= dict.fromkeys(fold.feature_names, "number")
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
    from features.conditions.expressions import Reader  # its library takes 0.4 s to import

    names, mistakes = persona_names(domain, Fold(domain)), Mistakes()
    reader = Reader(names)
    for name, persona in domain.personas.items():
        try:
            refuse_impossible(persona.when, reader.condition(persona.when), names)
        except InvalidCondition as error:
            expected = f"{error.expected}; the present one {error.wrong}"
            mistakes.add(("personas", name, "when"), expected, error.remedy)
    mistakes.refuse()
