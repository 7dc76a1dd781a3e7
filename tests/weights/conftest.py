"""Real weights for these tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stories260k(real_data: Path) -> Path:
    """llama2.c's tiny story model."""
    return real_data / "models/stories260K/stories260K.bin"
