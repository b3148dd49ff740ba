"""What other tests are asked of tests/environments is asked here of environments/, whatever its owner has written."""

from pathlib import Path
from typing import Any

import pytest

from config import Environment
from tests import own


@pytest.fixture(scope="session")
def loaded() -> dict[str, Environment]:
    return own.environments()


@pytest.fixture(scope="session")
def assembly(validated: Path) -> Path:
    return validated


@pytest.fixture(scope="session")
def templates(own_templates: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return own_templates
