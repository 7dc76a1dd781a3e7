"""The five-minute model: from nothing to answers about stories, in English and Chinese."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from pydantic import PositiveInt

from groundup.evaluate.questions import Reply, answered_exactly, ask
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finished import Finished
from groundup.recipe.run import run_recipe
from groundup.recipe.schema import Recipe, merge, parse_recipe, read_recipe
from groundup.recipe.watch import Watcher
from groundup.settings import Settings
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token
from groundup.world.documents import held_out_questions
from groundup.world.question import LEVELS, TASKS
from groundup.world.words import LANGUAGES

QUICKSTART = "quickstart"
# A document of the sample world as windows of the quickstart read it, some twice.
TOKENS_PER_DOCUMENT = 100
# Shares of the minutes that go to pretraining and to tuning; the rest makes the data and examines the
# model.
TRAINING_SHARE, TUNING_SHARE = 0.75, 0.12
EXAMINED = tuple(task for task in TASKS if task != "summary")


class ExamConfig(Settings):
    """The exam at the end."""

    questions: PositiveInt = 200
    """Questions of each task in each language."""


@dataclass
class Exam:
    """Shares of held-out questions answered exactly, per language, and what guessing would get."""

    by_task: dict[str, dict[str, float]]
    chance: dict[str, dict[str, float]]

    @property
    def by_level(self) -> dict[str, dict[str, float]]:
        return {
            language: {str(level): of_task[task] for task, level in LEVELS.items()}
            for language, of_task in self.by_task.items()
        }

    @property
    def level_1(self) -> float:
        """The share of level-1 questions answered exactly, the lower of the two languages."""
        return min(of_level["1"] for of_level in self.by_level.values())


def world_recipe(minutes: float, overrides: dict[str, Any]) -> Recipe:
    """The quickstart's recipe with as much data and as many steps as this machine gets through:
    a few seconds of the real training step tell how fast it is."""
    recipe = read_recipe(QUICKSTART, overrides)
    config = recipe.pretrain
    window = config.model_for(recipe.tokenizer.vocab_size).context_length
    speed = 60 * minutes * measure_speed(recipe)
    tokens, tuning_tokens = TRAINING_SHARE * speed, TUNING_SHARE * speed
    steps, tuning_steps = (
        max(1, int(of / window / train.micro_batch))
        for of, train in ((tokens, config.train), (tuning_tokens, recipe.finetune.train))
    )
    # The minutes only hold back a machine that has become slower than it was in the trial.
    sized = {
        "data": {"world_documents": max(1000, int(tokens / TOKENS_PER_DOCUMENT))},
        "pretrain": {"train": {"steps": steps, "minutes": minutes * TRAINING_SHARE}},
        "finetune": {"train": {"steps": tuning_steps, "minutes": minutes * TUNING_SHARE}},
    }
    return read_recipe(QUICKSTART, merge(sized, overrides))


def measure_speed(recipe: Recipe, seconds: float = 3.0) -> float:
    """Tokens per second of this machine's training step, for a recipe's model."""
    config = recipe.pretrain.model_for(recipe.tokenizer.vocab_size)
    rows = recipe.pretrain.train.micro_batch
    batch = np.random.default_rng(0).integers(
        config.vocab_size, size=(rows, config.context_length + 1)
    )
    trial = recipe.pretrain.train.model_copy(update={"minutes": seconds / 60, "steps": 10_000})
    run = start_run(GPT(config), trial)
    warm_up = trial.model_copy(update={"steps": 2})
    run.config = warm_up
    train(run, lambda n: batch, next_token)
    run.config, run.state.seconds, run.state.tokens = trial, 0.0, 0
    train(run, lambda n: batch, next_token)
    return run.state.tokens / run.state.seconds


def build(
    out: Path,
    minutes: float,
    overrides: dict[str, Any],
    watcher: Watcher,
    questions: int,
) -> tuple[Finished, Exam, list[Reply]]:
    """Build the quickstart model of the sample world in `out`, or finish it if it was begun for as
    many minutes.

    Returns what was made, the result of an exam of so many `questions` of each task in each language, and
    what the model says to a few of them."""
    recipe = _begun(out, minutes, overrides)
    if recipe is None:
        watcher.stage("machine", "Measuring how fast this machine trains: how far will it get?")
        recipe = world_recipe(minutes, overrides)
    finished = run_recipe(recipe, out, watcher)
    watcher.stage("exam", "Asking what it was never shown: combinations of people, places and "
                  "things that the training text does not hold.")  # fmt: skip
    exam, examples = examine(*finished.load(), questions)
    return finished, exam, examples


def _begun(out: Path, minutes: float, overrides: dict[str, Any]) -> Recipe | None:
    """The recipe of a quickstart that was begun in `out` for so many minutes, if there is one."""
    path = RunDirectory(out).recipe
    if not path.is_file():
        return None
    recipe = read_recipe(str(path), overrides)
    same = recipe.data.is_world and recipe.pretrain.train.minutes == minutes * TRAINING_SHARE
    return recipe if same else None


def own_text(
    out: Path, paths: list[str], minutes: float, overrides: dict[str, Any], watcher: Watcher
) -> Finished:
    """The quickstart on one's own text."""
    values = {
        "data": {"paths": paths},
        "tokenizer": {"vocab_size": 2048},
        "pretrain": {
            "preset": "nano",
            "train": {
                "minutes": minutes * (TRAINING_SHARE + TUNING_SHARE),
                "steps": 1_000_000,
                "micro_batch": 16,
            },
        },
    }
    return run_recipe(parse_recipe(merge(values, overrides)), out, watcher)


def examine(model: GPT, tokenizer: Tokenizer, count: int) -> tuple[Exam, list[Reply]]:
    """Ask `count` held-out questions of each task in each language; the replies to a few of them."""
    by_task: dict[str, dict[str, float]] = {}
    chance: dict[str, dict[str, float]] = {}
    replies: list[Reply] = []
    for language in LANGUAGES:
        asked = {task: held_out_questions(language, task, count) for task in EXAMINED}
        right = {task: answered_exactly(model, tokenizer, qs) for task, qs in asked.items()}
        by_task[language] = {task: fmean(correct) for task, correct in right.items()}
        chance[language] = {task: fmean(q.chance for q in qs) for task, qs in asked.items()}
        replies += [ask(model, tokenizer, asked[task][0]) for task in LEVELS]
    return Exam(by_task, chance), replies
