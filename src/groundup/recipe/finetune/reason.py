"""Answers that can be checked: the model tries, is marked, and learns from its marks."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from groundup.data.order import drawn
from groundup.errors import nearest
from groundup.evaluate.intervals import paired_difference, wilson
from groundup.evaluate.questions import answered_exactly
from groundup.evaluate.results import Figure, Measured, Result
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.lora import adapter_names, use_adapter
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.general import known_text
from groundup.recipe.finetune.rows import left_out
from groundup.recipe.finetune.tuning import Tuning
from groundup.recipe.schema import FinetuneConfig, Recipe
from groundup.sources.rows import BadRows, Row, read_rows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.log_probs import token_log_probs
from groundup.train.loop import Run
from groundup.tune.reason import (
    Exercise,
    Exercises,
    LogProbs,
    Rollouts,
    frozen,
    nothing_to_learn,
    policy,
    to_exercise,
    world_exercises,
)
from groundup.weights.directory import save
from groundup.world.documents import held_out_questions
from groundup.world.question import Question

# There is no end to the questions: how many batches count as once through them.
BATCHES_PER_EPOCH = 50
QUESTION_FIELDS = ("question", "prompt", "instruction")
ANSWER_FIELDS = ("answer", "output", "completion")


def prepare_reason(recipe: Recipe, run: RunDirectory, model: GPT, tokenizer: Tokenizer) -> Tuning:
    """Questions, the sample world's or those of rows, as a tuning of `model`."""
    config, bad = recipe.finetune, BadRows()
    learned, kept = _questions(config, bad)
    if config.data:
        exercises = _row_exercises(learned, config, tokenizer)
    else:
        size, seed = config.train.micro_batch, config.train.seed
        exercises = world_exercises(config.reason, tokenizer, size, seed)
    rollouts = Rollouts(
        model, exercises, config.reason, frozenset(tokenizer.end_ids), config.train.seed,
        config.train.grad_accumulation, _reference(model) if config.reason.kl else None,
    )  # fmt: skip
    before = answered_exactly(model, tokenizer, kept)

    def evaluate(run: Run, whole: bool) -> dict[str, float]:
        return {"exact_answers": float(np.mean(answered_exactly(model, tokenizer, kept)))}

    def finish() -> Measured:
        return _measured(run.path.name, before, answered_exactly(model, tokenizer, kept))

    mixed: list[float] = []

    def watch(run: Run) -> str | None:
        mixed.append(run.figures["mixed_groups"])
        if said := nothing_to_learn(mixed):
            mixed.clear()  # it is said again only if it goes on as long again
        return said

    return Tuning(
        model, policy(config.reason), rollouts, BATCHES_PER_EPOCH, evaluate, finish,
        lambda out: save(model, tokenizer, out), improves="exact_answers", watch=watch,
        general=known_text(recipe, run, tokenizer), bad=bad, notes=left_out(bad, len(learned) + len(kept)),
    )  # fmt: skip


def _measured(name: str, before: list[bool], after: list[bool]) -> Measured:
    """Exact answers before and after, to the same questions."""
    shares = [Figure(when, float(np.mean(right)), wilson(sum(right), len(right)))
              for when, right in ((N_("before"), before), (N_("exact answers"), after))]  # fmt: skip
    difference = paired_difference(np.array(before, float), np.array(after, float))
    verdict = N_(f"{difference.mean:+.3f} {difference.interval} against before")
    if not difference.is_clear:
        verdict = N_(f"{verdict}: no clear difference")
    figures = {
        "exact_answers_before": shares[0].value, "exact_answers_before_interval": shares[0].interval,
        "exact_answers": shares[1].value, "exact_answers_interval": shares[1].interval,
        "held_out_questions": len(after),
    }  # fmt: skip
    told = Result("Answers: questions kept aside", name, [shares[1]], [shares[0]], verdict)
    return Measured(figures, [told])


def _questions(config: FinetuneConfig, bad: BadRows) -> tuple[list[Question], list[Question]]:
    """Questions to learn from, where they are rows, and those kept for the exam."""
    reason = config.reason
    if not config.data:
        asked = [(language, task) for task in reason.tasks for language in reason.languages]
        each = -(-reason.held_out_questions // len(asked))
        return [], [question for kind in asked for question in held_out_questions(*kind, each)]
    rows = [q for row in read_rows(config.data, bad) if (q := _question(row, bad))]
    bad.refuse_if_all(
        max(0, len(rows) - 1),
        N_('rows look like {"question": "…", "answer": "…"}; give two or more'),
    )
    order = np.random.default_rng(reason.split_seed).permutation(len(rows))
    count = min(reason.held_out_questions, max(1, len(rows) // 10))
    return [rows[i] for i in order[count:]], [rows[i] for i in order[:count]]


def _question(row: Row, bad: BadRows) -> Question | None:
    """The question of a row; None, and noted in `bad`, where it has none."""
    found = []
    for names in (QUESTION_FIELDS, ANSWER_FIELDS):
        name = next((name for name in names if name in row.values), None)
        text = "" if name is None else str(row.values[name] or "").strip()
        if not text:
            close = nearest(names[0], row.values)
            missing = N_(f"there is no field {names[0]!r}")
            if close:
                missing = N_(f"there is no field {names[0]!r} (but {close!r})")
            bad.add(row.where, N_(f"the field {name!r} is empty") if name else missing)
            return None
        found.append(text)
    return Question("rows", "", "", found[0], found[1], (found[1],), ())


def _row_exercises(
    questions: Sequence[Question], config: FinetuneConfig, tokenizer: Tokenizer
) -> Exercises:
    """Questions of rows, in another order in every round, as many at a time as a batch has."""
    size = config.train.micro_batch

    def exercises(n: int) -> list[Exercise]:
        chosen = drawn(n, size, len(questions), config.train.seed)
        return [to_exercise(questions[i], tokenizer, 0.0) for i in chosen]

    return exercises


def _reference(model: GPT) -> LogProbs:
    """The model before the training: without its adapter, or a copy of it."""
    return partial(_without_adapter, model) if adapter_names(model) else frozen(model)


def _without_adapter(model: GPT, ids: Tensor, weights: Tensor) -> Tensor:
    with use_adapter(model, None), torch.no_grad():
        return token_log_probs(model, ids, weights)
