"""The trainings of a run, for those who look on: what was logged, and what the model says at each
checkpoint that was kept. Nothing here changes a run, and it may be at work meanwhile."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundup.errors import GroundupError, InputError
from groundup.generation.engine import Engine, check_prompt
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune import stage as finetune
from groundup.recipe.pretrain import model_config
from groundup.recipe.schema import Recipe, read_recipe
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import checkpoints, load_weights
from groundup.train.config import TrainConfig
from groundup.train.metrics import curves, read_metrics

Points = Sequence[tuple[int, float]]
# More points than a screen has pixels are not seen, and more samples are not read.
MOST_POINTS, MOST_SAMPLES = 2000, 100


@dataclass(frozen=True)
class Training:
    """One training of a run, under way or over."""

    run: RunDirectory
    recipe: Recipe
    name: Literal["pretrain", "finetune"]

    @property
    def folder(self) -> Path:
        return self.run.pretrain if self.name == "pretrain" else self.run.finetune

    @property
    def config(self) -> TrainConfig:
        return self.recipe.pretrain.train if self.name == "pretrain" else self.recipe.finetune.train

    @property
    def writes_text(self) -> bool:
        """Whether what it trains is a language model."""
        return self.name == "pretrain" or self.recipe.finetune.kind != "classify"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def description(self) -> dict[str, Any]:
        """Where it stands, and which checkpoints there are, as plain values."""
        losses = dict(curves(read_metrics(self.metrics)).get("val_loss", []))
        return {
            "name": self.name, "has_begun": self.metrics.is_file(),
            "is_finished": (self.folder / "summary.json").is_file(), "writes_text": self.writes_text,
            "checkpoints": [{"step": n, "val_loss": losses.get(n)} for n in self.checkpoints()],
            "keep_checkpoints": self.config.keep_checkpoints,
            "setting": f"{self.name}.train.keep_checkpoints", "prompt": self.recipe.pretrain.prompt,
        }  # fmt: skip

    def told(self) -> dict[str, Any]:
        """What its log tells, as plain values: the curves, drawn thinner where they have very many
        points, and the newest samples."""
        rows = read_metrics(self.metrics)
        samples = [row for row in rows if "sample" in row]
        return {
            "step": rows[-1]["step"] if rows else 0,
            "steps": None if self.config.minutes else self.config.steps,
            "silent_seconds": time.time() - self.metrics.stat().st_mtime if rows else None,
            "stopped": next((row["stopped"] for row in rows if "stopped" in row), None),
            "curves": {name: thinned(points, MOST_POINTS) for name, points in curves(rows).items()},
            "n_samples": len(samples),
            "samples": [{"step": row["step"], "text": row["sample"]} for row in samples[-MOST_SAMPLES:]],
        }  # fmt: skip

    def checkpoints(self) -> dict[int, Path]:
        """The checkpoints that were kept, by their steps, oldest first."""
        found = checkpoints(self.folder / "checkpoints")
        return {int(path.name.removeprefix("step-")): path for path in found}

    def begin(self) -> tuple[GPT, Tokenizer]:
        """A model that takes the weights of any of the checkpoints, and its tokenizer."""
        if not self.writes_text:
            raise InputError("this training makes a classifier: it writes no text", self.name)
        if self.name == "finetune":
            return finetune.begin(self.recipe, self.run)
        tokenizer = Tokenizer.load(self.run.tokenizer)
        return GPT(model_config(self.recipe, tokenizer.vocab_size)), tokenizer

    def load(self, step: int) -> tuple[GPT, Tokenizer]:
        """The model as it was after so many steps. Raises `InputError` where that was not kept."""
        path = self._kept([step])[step]
        model, tokenizer = self.begin()
        load_weights(path, model)
        return model.eval(), tokenizer

    def retell(
        self, prompt: str, sampling: SamplingConfig, steps: Sequence[int] | None = None
    ) -> Generator[dict[str, Any], None, None]:
        """What the model says after `prompt` at each checkpoint, oldest first: pieces of text with
        their step, and at the end of each `finish_reason` ("stop" or "length"). A checkpoint that is
        damaged, or that the run has removed by now, has a `problem` instead.

        There is one model in memory, which takes the weights of one checkpoint after another. Raises
        `InputError` for steps that were not kept and for prompts that the model does not take."""
        paths = self._kept(steps)
        model, tokenizer = self.begin()
        ids = tokenizer.encode_prompt(prompt)
        check_prompt(ids, model.config)
        for step, path in paths.items():
            try:
                load_weights(path, model)
            except (GroundupError, OSError) as error:
                yield {"step": step, "text": "", "finish_reason": None, "problem": str(error)}
                continue
            completion = Completion(list(ids))
            for piece in complete(Engine(model), tokenizer, completion, sampling):
                yield {"step": step, "text": piece, "finish_reason": None}
            yield {"step": step, "text": "", "finish_reason": completion.finish_reason}

    def _kept(self, steps: Sequence[int] | None) -> dict[int, Path]:
        """The checkpoints of these steps, or all of them."""
        paths = self.checkpoints()
        wanted = set(paths if steps is None else steps)
        if missing := wanted - set(paths):
            raise InputError(
                f"no checkpoint of step {min(missing)} is kept", "steps",
                f"kept are: {', '.join(map(str, paths)) or 'none'}",
            )  # fmt: skip
        return {step: path for step, path in paths.items() if step in wanted}


def trainings_of(run: RunDirectory) -> list[Training]:
    """The trainings that a run's recipe has, in their order, begun or not."""
    recipe = read_recipe(str(run.recipe), {})
    pretrain = [Training(run, recipe, "pretrain")] if recipe.pretrains else []
    return pretrain + ([Training(run, recipe, "finetune")] if recipe.finetune.objective else [])


def newest_checkpoint(trainings: Sequence[Training]) -> tuple[Training, int]:
    """Where a run that has made no model yet stands. Raises `InputError` before its first checkpoint."""
    for training in reversed(trainings):
        if training.writes_text and (kept := training.checkpoints()):
            return training, max(kept)
    raise InputError(
        "this run has made no model yet, nor a checkpoint of one",
        str(trainings[0].run.path) if trainings else None,
        "wait for the first one: `train.checkpoint_every` says after how many steps it is written",
    )  # fmt: skip


def thinned(points: Points, most: int) -> Points:
    """At most `most` of the points: of equal parts of the curve the lowest and the highest point each,
    so that no peak is lost.

    >>> thinned([(1, 5.0), (2, 9.0), (3, 4.0), (4, 3.0), (5, 2.0), (6, 1.0)], 4)
    [(2, 9.0), (3, 4.0), (4, 3.0), (6, 1.0)]
    """
    if len(points) <= most:
        return points
    size = -(-len(points) // (most // 2))
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    ends = [{min(part, key=_value), max(part, key=_value)} for part in parts]
    return [point for pair in ends for point in sorted(pair)]


def _value(point: tuple[int, float]) -> float:
    return point[1]
