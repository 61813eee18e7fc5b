"""Reads the options of a relation, such as the definition of a funnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from features.errors import InvalidRequest, quoted

Options = TypeVar("Options", bound=BaseModel)


def read_options(model: type[Options], options: Mapping[str, Any]) -> Options:
    """Read the options of a relation from the query of a list.

    Raises
    ------
    InvalidRequest
        If one is unknown, is missing, or has a wrong value.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in ("options", *first["loc"]))
        raise InvalidRequest(
            f"{name} is {quoted(first['input'])}: {first['msg']}.",
            expected=f"the options {', '.join(model.model_fields)}",
            remedy="Send the query of the list as the view returned it.",
        ) from error


def told_options(options: BaseModel) -> dict[str, Any]:
    """Return the options that are not the default, as JSON."""
    return options.model_dump(mode="json", exclude_defaults=True)
