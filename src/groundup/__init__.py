"""groundup: build a large language model from the ground up.

The names that a user imports. They are loaded when they are first used, so that `import groundup`
alone is quick and needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from groundup.errors import CorruptFileError, GroundupError, InputError, TrainingError

if TYPE_CHECKING:
    from groundup.generation.text import generate, stream
    from groundup.model.config import ModelConfig
    from groundup.model.gpt import GPT
    from groundup.model.presets import preset
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.weights.directory import load, save

_LAZY = {
    "GPT": "groundup.model.gpt",
    "ModelConfig": "groundup.model.config",
    "Tokenizer": "groundup.tokenizer.tokenizer",
    "generate": "groundup.generation.text",
    "load": "groundup.weights.directory",
    "preset": "groundup.model.presets",
    "save": "groundup.weights.directory",
    "stream": "groundup.generation.text",
}

__all__ = [
    "GPT", "CorruptFileError", "GroundupError", "InputError", "ModelConfig", "Tokenizer",
    "TrainingError", "generate", "load", "preset", "save", "stream",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'groundup' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
