"""The whole configuration: one typed class for TOML files, command-line flags and reference page."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, NonNegativeInt, PositiveInt

from groundup.data.windows import WindowConfig
from groundup.errors import InputError, unknown
from groundup.files import atomic_file
from groundup.model.config import ModelConfig
from groundup.model.presets import preset
from groundup.settings import Settings
from groundup.train.config import TrainConfig

_PACKAGE = Path(__file__).parent.parent
# Inside an installed package, or in the repository of an editable one.
SHIPPED = next(
    (p for p in (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes") if p.is_dir()),
    _PACKAGE / "recipes",
)


class DataConfig(Settings):
    """The text: files of one's own, or the sample world."""

    paths: list[str] = []
    """Files and folders of documents."""
    validation: list[str] = []
    """Files for validation; without them a part of `paths` is kept for it."""
    validation_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    """The part kept: by document, or the end of a single text."""
    text_field: str | None = None
    """The field of a row that is its text, where it cannot be told."""
    world_documents: NonNegativeInt = 0
    """Without `paths`: so many documents of the sample world."""
    package: str | None = None
    """Without `paths`: the Markdown files of an installed Python package."""


class TokenizerConfig(Settings):
    """The vocabulary: learned from the text, or an existing one."""

    vocab_size: PositiveInt = 4096
    """Number of token ids, special tokens included."""
    kind: Literal["bpe", "byte", "character"] = "bpe"
    """Byte-pair encoding, plain bytes, or characters."""
    special_tokens: list[str] = ["<|endoftext|>"]
    """Tokens that are never split and never learned from text."""
    path: str | None = None
    """Directory of an existing tokenizer to use instead."""


class PretrainConfig(Settings):
    """The model and its training."""

    preset: str = "micro"
    """The model to begin from: a name of `groundup.model.presets`."""
    model: dict[str, Any] = {}
    """Any field of `ModelConfig`, to replace the preset's."""
    windows: WindowConfig = WindowConfig()
    """How windows are drawn from the text."""
    train: TrainConfig = TrainConfig()
    """How long, how fast, with what."""
    prompt: str = ""
    """Beginning of the sample that is written at each evaluation; default: a line end."""

    def model_for(self, vocab_size: int) -> ModelConfig:
        """The model's configuration, once the vocabulary is known."""
        return preset(self.preset, **{"vocab_size": vocab_size, **self.model})


class EvaluateConfig(Settings):
    """What the finished model is measured on, beside its validation text."""

    text: list[str] = []
    """Files to measure bits per byte on."""


class Recipe(Settings):
    """One whole life of a model."""

    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pretrain: PretrainConfig = PretrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()


def read_recipe(name: str, overrides: dict[str, Any]) -> Recipe:
    """The recipe of a TOML file, or the one that ships under a name, with `overrides` put over it.

    Raises `InputError` for a missing file, invalid TOML, unknown settings and wrong values.
    """
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    if not path.is_file():
        raise unknown("recipe", name, shipped_recipes())
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid TOML: {error}", str(path), "mend this line") from None
    return parse_recipe(merge(values, overrides), str(path))


def parse_recipe(values: dict[str, Any], where: str | None = None) -> Recipe:
    """A recipe from nested values, its model checked as well."""
    recipe = Recipe.parse(values, where)
    recipe.pretrain.model_for(recipe.tokenizer.vocab_size)
    return recipe


def write_recipe(recipe: Recipe, path: Path) -> None:
    """The resolved recipe as TOML: every setting, defaults included."""
    with atomic_file(path, "wb") as file:
        tomli_w.dump(recipe.model_dump(exclude_none=True), file)


def shipped_recipes() -> list[str]:
    """The names of the recipes that come with groundup."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def merge(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`values` with `overrides` put over them, table by table.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    merged = dict(values)
    for key, value in overrides.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merge(below, value)
        merged[key] = value
    return merged
