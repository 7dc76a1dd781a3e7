"""What the doctor reads of a run directory: each thing once, and nothing of it is believed."""

import contextlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from groundup.data.shards import Tokens, open_shards
from groundup.errors import GroundupError, InputError
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.recipe.schema import Recipe, read_recipe
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import checkpoints, verify_checkpoint
from groundup.train.metrics import read_metrics
from groundup.weights.directory import load_model

T = TypeVar("T")


class RunDirectory:
    """A run directory. What is missing or damaged is None; `problems` then says why.

    Raises `InputError` where `path` is no run directory.
    """

    def __init__(self, path: Path):
        self.path = path
        self.problems: list[GroundupError] = []
        if not (path / "recipe.toml").is_file():
            raise InputError(
                "this is no run directory: there is no recipe.toml in it", str(path),
                "give the folder that `groundup run --out` or `pretrain --out` wrote; recipe.toml "
                "is written once the text has become token ids",
            )  # fmt: skip
        self.recipe: Recipe = read_recipe(str(path / "recipe.toml"), {})
        self.train_config = self.recipe.pretrain.train

    def _attempt(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except GroundupError as error:
            self.problems.append(error)
            return None

    # The course of the training

    @property
    def metrics_path(self) -> Path:
        return self.path / "pretrain" / "metrics.jsonl"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All of `metrics.jsonl`."""
        return read_metrics(self.metrics_path)

    @cached_property
    def steps(self) -> list[dict[str, Any]]:
        """The rows of training steps, in order."""
        return [row for row in self.rows if "loss" in row]

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """The rows of evaluations, in order."""
        return [row for row in self.rows if "sample" in row]

    @property
    def finished(self) -> bool:
        return (self.path / "pretrain" / "model" / "config.json").is_file()

    # The text

    @cached_property
    def data(self) -> Path | None:
        """The newest folder of token shards."""
        found = (self.path / "data").rglob("shards.json")
        newest = max(found, key=lambda file: file.stat().st_mtime, default=None)
        return newest.parent if newest else None

    @cached_property
    def data_index(self) -> dict[str, Any]:
        """What `shards.json` says, {} where it is not to be read."""
        try:
            text = (self.data / "shards.json").read_text(encoding="utf-8") if self.data else "{}"
            return json.loads(text)
        except ValueError:
            return {}

    @cached_property
    def train(self) -> Tokens | None:
        """The training tokens, their checksums proved."""
        return self._tokens("train")

    @cached_property
    def validation(self) -> Tokens | None:
        """The validation tokens, their checksums proved."""
        return self._tokens("validation")

    def _tokens(self, split: str) -> Tokens | None:
        folder = self.data
        return self._attempt(lambda: open_shards(folder, split)) if folder else None

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The run's own tokenizer, or the one that its recipe took."""
        given = self.recipe.tokenizer.path
        own = self.path / "tokenizer"
        if given and not own.is_dir():
            own = self.path / "pretrain" / "model" if self.finished else Path(given)
        return self._attempt(lambda: Tokenizer.load(own))

    # The weights

    @cached_property
    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first; a damaged one is a problem."""
        found = checkpoints(self.path / "pretrain" / "checkpoints")
        whole = [path for path in found if self._attempt(lambda p=path: verify_checkpoint(p))]
        # A run at work removes old ones: what is gone by now is not damaged.
        gone = {str(path) for path in found if not path.is_dir()}
        self.problems = [p for p in self.problems if str(Path(p.where or "").parent) not in gone]
        return [path for path in whole if str(path) not in gone]

    @cached_property
    def checkpoint_weights(self) -> dict[int, dict[str, Tensor]]:
        """The weights of the oldest and the newest whole checkpoint, by their step."""
        weights = {}
        for path in {*self.checkpoints[:1], *self.checkpoints[-1:]}:
            with contextlib.suppress(FileNotFoundError):  # removed by the run at work
                weights[int(path.name.split("-")[1])] = load_file(path / "model.safetensors")
        return weights

    @cached_property
    def config(self) -> ModelConfig | None:
        """The model's configuration: of the finished model, or by the recipe."""
        if self.finished and self.model:
            return self.model.config
        size = self.data_index.get("vocab_size")
        return self._attempt(lambda: self.recipe.pretrain.model_for(size)) if size else None

    @cached_property
    def weights_place(self) -> Path | None:
        """Where `model` comes from: the finished model, or the newest checkpoint."""
        if self.finished:
            return self.path / "pretrain" / "model"
        return self.checkpoints[-1] if self.checkpoints else None

    @cached_property
    def model(self) -> GPT | None:
        """The finished model, or the one of the newest checkpoint, with dropout off."""
        place = self.weights_place
        if self.finished and place:
            return self._attempt(lambda: load_model(place))
        config, saved = self.config, self.checkpoint_weights
        if config is None or not saved:
            return None
        model, newest = GPT(config), saved[max(saved)]
        if {n: p.shape for n, p in model.named_parameters()} != {
            n: t.shape for n, t in newest.items()
        }:
            return None  # it was begun from another model than the recipe describes
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(newest[name])
        return model.eval()
