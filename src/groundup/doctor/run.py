"""What the doctor reads of a run directory: each thing once, and nothing of it is believed."""

import contextlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from groundup.data.shards import Tokens, open_shards, read_shards_index
from groundup.errors import GroundupError, InputError
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.pretrain import model_config
from groundup.recipe.schema import Recipe, read_recipe
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import checkpoints, saved_weights, verify_checkpoint
from groundup.train.metrics import read_metrics
from groundup.weights.directory import load_model

T = TypeVar("T")


class ExaminedRun:
    """A run directory. What is missing or damaged is None; `problems` then says why.

    Raises `InputError` where `path` is no run directory.
    """

    def __init__(self, path: Path):
        self.path, self.place = path, RunDirectory(path)
        self.problems: list[GroundupError] = []
        if not self.place.recipe.is_file():
            raise InputError(
                "this is no run directory: there is no recipe.toml in it", str(path),
                "give the folder that `groundup run --out` or `pretrain --out` wrote; recipe.toml "
                "is written once the text has been read",
            )  # fmt: skip
        self.recipe: Recipe = read_recipe(str(self.place.recipe), {})
        if not self.recipe.pretrains:
            raise InputError(
                "this run has tuned a model that was there: the doctor examines pretraining", str(path),
                "see its report.html, and examine the run that made the model",
            )  # fmt: skip
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
        return self.place.pretrain / "metrics.jsonl"

    @property
    def processes_path(self) -> Path:
        return self.place.pretrain / "processes.jsonl"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All of `metrics.jsonl`."""
        return read_metrics(self.metrics_path)

    @cached_property
    def processes(self) -> list[dict[str, Any]]:
        """All of `processes.jsonl`, which there is of several processes."""
        return read_metrics(self.processes_path)

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
        return (self.place.pretrained / "config.json").is_file()

    # The text

    @property
    def data(self) -> Path:
        """Where the token shards are, a folder for each source."""
        return self.place.tokens

    @cached_property
    def shard_folders(self) -> list[Path]:
        return sorted(file.parent for file in self.data.glob("*/shards.json"))

    @cached_property
    def data_index(self) -> dict[str, Any]:
        """What the first source's `shards.json` says, {} where it is not to be read."""
        indices = [
            self._attempt(lambda f=folder: read_shards_index(f)) for folder in self.shard_folders
        ]
        return (indices[0] or {}) if indices else {}

    @cached_property
    def train(self) -> Tokens | None:
        """The training tokens, their checksums proved."""
        return self._tokens("train")

    @cached_property
    def validation(self) -> Tokens | None:
        """The validation tokens, their checksums proved."""
        return self._tokens("validation")

    def _tokens(self, split: str) -> Tokens | None:
        parts = [self._attempt(lambda f=f: open_shards(f, split)) for f in self.shard_folders]
        whole = [part for part in parts if part is not None]
        return Tokens.joined(whole) if whole and len(whole) == len(parts) else None

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The run's tokenizer."""
        return self._attempt(lambda: Tokenizer.load(self.place.tokenizer))

    # The weights

    @cached_property
    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first; a damaged one is a problem."""
        found = checkpoints(self.place.pretrain / "checkpoints")
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
                weights[int(path.name.split("-")[1])] = saved_weights(path)
        return weights

    @cached_property
    def config(self) -> ModelConfig | None:
        """The model's configuration: of the finished model, or by the recipe."""
        if self.finished and self.model:
            return self.model.config
        size = self.data_index.get("vocab_size")
        return self._attempt(lambda: model_config(self.recipe, size)) if size else None

    @cached_property
    def weights_place(self) -> Path | None:
        """Where `model` comes from: the finished model, or the newest checkpoint."""
        if self.finished:
            return self.place.pretrained
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
