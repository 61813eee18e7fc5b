"""Fixtures that the tests of several suites share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.business.domain import Domain, load_domain
from tests.conftest import TOY


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Domain]:
    """The toy business with some of its keys changed, as a person would change the file."""

    def changed(**keys: Any) -> Domain:
        content = {**yaml.safe_load((TOY / "domain.yaml").read_text(encoding="utf-8")), **keys}
        path = tmp_path / "domain.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return load_domain(path)

    return changed
