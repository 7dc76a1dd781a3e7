"""PEFT's `adapter_config.json`: what it says that we need, and what it may not say."""

import math
import re
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from groundup.errors import CorruptFileError, InputError
from groundup.settings import Settings
from groundup.tokenizer.files import read_json

CONFIG = "adapter_config.json"


class PeftConfig(Settings):
    """What we read of an adapter_config.json, in its own words."""

    r: PositiveInt = 8
    lora_alpha: PositiveFloat = 8.0
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: dict[str, PositiveInt] = {}
    """Ranks of the layers whose names end in what these expressions match."""
    alpha_pattern: dict[str, PositiveFloat] = {}
    base_model_name_or_path: str | None = None

    def rank(self, layer: str) -> int:
        return self.rank_pattern.get(_pattern(self.rank_pattern, layer), self.r)

    def scale(self, layer: str) -> float:
        """The factor on B A."""
        alpha = self.alpha_pattern.get(_pattern(self.alpha_pattern, layer), self.lora_alpha)
        return alpha / self._root(self.rank(layer))

    def alpha(self, scale: float, rank: int) -> float:
        """The alpha that gives this factor at this rank."""
        return scale * self._root(rank)

    def _root(self, rank: int) -> float:
        return math.sqrt(rank) if self.use_rslora else float(rank)


def _pattern(patterns: dict[str, Any], layer: str) -> str:
    found = (key for key in patterns if re.match(rf"(.*\.)?({key})$", layer))
    return next(found, "")


# Values of keys of which others would mean another computation; and keys that say how an adapter was
# made, or only how PEFT finds its layers, which its tensors say as well.
ONLY = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    # What is left out here changes the base as well (PiSSA, OLoRA, CorDA, LoftQ).
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal", "lora_ga"),
}
NO_MATTER = {
    "auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
    "runtime_config", "target_modules", "task_type",
}  # fmt: skip


def read_peft_config(directory: Path) -> PeftConfig:
    """The adapter_config.json of an adapter.

    Raises `InputError` for an adapter that is no LoRA, or more than one, and `CorruptFileError` for a
    file that is no JSON."""
    path = directory / CONFIG
    if not path.is_file():
        raise InputError(f"this folder is no adapter: no {CONFIG}", str(directory), "name another")
    given = {key: value for key, value in read_json(path).items() if value is not None}
    for key, known in ONLY.items():
        if given.get(key, known[0]) not in known:
            raise InputError(
                f"{key} {given[key]!r} is not supported in an adapter", str(path),
                f"supported: {', '.join(map(repr, known))}",
            )  # fmt: skip
    for key, value in given.items():
        if value and key not in {*ONLY, *NO_MATTER, *PeftConfig.model_fields}:
            raise InputError(
                f"{key} {value!r} is not supported in an adapter", str(path),
                "merge the adapter into its base with the program that made it",
            )  # fmt: skip
    fields = {key: value for key, value in given.items() if key in PeftConfig.model_fields}
    config = PeftConfig.parse(fields, str(path))
    for pattern in (*config.rank_pattern, *config.alpha_pattern):
        try:
            re.compile(pattern)
        except re.error as error:
            raise CorruptFileError(f"{pattern!r} is no pattern ({error})", str(path)) from None
    return config
