"""Helpers to import Feast fast, and to load the definitions of its feature repository."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType

from features.errors import InvalidData
from features.settings import PACKAGE

REPO = PACKAGE / "feature_repo"


@contextlib.contextmanager
def without_type_checks() -> Iterator[None]:
    """Switch off typeguard while Feast is imported, as `python -O` does.

    Typeguard would compile type checks into Feast's classes, which takes two thirds of the import,
    some three seconds.
    """
    import typeguard

    typechecked = typeguard.typechecked
    typeguard.typechecked = lambda target: target  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = typechecked


def load_definitions() -> ModuleType:
    """Load `feature_repo/definitions.py`, which reads the domain file that the settings name.

    Raises
    ------
    InvalidData
        If the file is missing.
    """
    # By path, as Feast's own command does: the folder is not one of our packages.
    spec = importlib.util.spec_from_file_location("feature_definitions", REPO / "definitions.py")
    if spec is None or spec.loader is None:
        raise InvalidData(
            f"{REPO / 'definitions.py'} cannot be loaded.",
            expected="the Feast definitions of this package",
            remedy="Install the package again.",
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
