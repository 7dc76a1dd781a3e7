"""The layouts of a training on GPUs that are not here: which fit, how fast they are, and what they cost."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from groundup.data.report import TOKENS_PER_PARAMETER
from groundup.errors import InputError
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.cost import parameter_count
from groundup.recipe.scale.gpus import CALIBRATED, GPU
from groundup.recipe.scale.layout import CHECKPOINTING, Layout, divisions, passes, refusal
from groundup.recipe.scale.memory import Dtype, Memory, Optimizer, memory
from groundup.recipe.scale.speed import Speed, speed
from groundup.train.memory import USABLE

DAY, HOUR = 24 * 3600, 3600
MOST_GPUS = 1 << 16
# The batch of GPT-3's models by their size (Brown et al. 2020, table 2.1), as powers of two.
BATCHES = ((1e9, 1 << 19), (5e9, 1 << 20), (1e11, 1 << 21))
LARGEST_BATCH = 1 << 22
# How far the formulas are from published runs (`published.py`): a quarter, where the generation's figure
# is borne out by several; twice that where it is not.
SPREAD, SPREAD_UNKNOWN = 0.25, 0.5


@dataclass(frozen=True)
class Question:
    """What is to be trained, on what."""

    config: ModelConfig
    gpus: int
    gpu: GPU
    tokens: int
    batch_tokens: int
    """Of one step, on all GPUs."""
    optimizer: Optimizer = "muon"
    dtype: Dtype = "bfloat16"
    price: float | None = None
    """Dollars for an hour of one GPU."""

    @property
    def usable(self) -> int:
        """Bytes of a GPU that may be planned with."""
        return int(USABLE * self.gpu.memory)

    @property
    def windows(self) -> int:
        """Of one step."""
        return self.batch_tokens // self.config.context_length


@dataclass(frozen=True)
class Choice:
    """A layout that fits, in its fastest form."""

    layout: Layout
    memory: Memory
    speed: Speed

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self.layout),
            "memory": asdict(self.memory) | {"total": self.memory.total},
            "seconds": asdict(self.speed) | {"step": self.speed.seconds},
            "tokens_per_second": self.speed.tokens_per_second,
        }


@dataclass(frozen=True)
class Refused:
    """A layout that does not fit, and why."""

    layout: Layout
    reason: str
    least: float = math.inf
    """Bytes on each GPU that it needs at least, where it could be divided like this."""


@dataclass(frozen=True)
class ScalePlan:
    """The answer: layouts by speed, the fastest first, and those that do not fit."""

    question: Question
    choices: tuple[Choice, ...]
    refused: tuple[Refused, ...]

    @property
    def best(self) -> Choice:
        return self.choices[0]

    @property
    def days(self) -> float:
        return self.question.tokens / self.best.speed.tokens_per_second / DAY

    @property
    def dollars(self) -> float | None:
        question = self.question
        if question.price is None:
            return None
        return self.days * DAY / HOUR * question.gpus * question.price

    @property
    def spread(self) -> float:
        """How much faster or slower it may be, as a share."""
        return SPREAD if self.question.gpu.generation in CALIBRATED else SPREAD_UNKNOWN

    def span(self, figure: float) -> tuple[float, float]:
        """A time or a price from the fastest to the slowest that is to be expected."""
        return figure / (1 + self.spread), figure / (1 - self.spread)

    def by_checkpointing(self) -> dict[str, Memory]:
        """The memory of the best layout, with one window in a pass, by mode."""
        question, layout = self.question, self.best.layout
        one = list(passes(layout, question.windows))[-1]
        return {
            mode: memory(
                question.config, _with(one, mode), question.optimizer, question.dtype
            )
            for mode in CHECKPOINTING
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        question = self.question
        return {
            "parameters": parameter_count(question.config),
            "gpus": question.gpus,
            "gpu": asdict(question.gpu) | {"efficiency": question.gpu.efficiency},
            "tokens": question.tokens,
            "batch_tokens": question.batch_tokens,
            "context_length": question.config.context_length,
            "optimizer": question.optimizer,
            "dtype": question.dtype,
            "usable_bytes": question.usable,
            "checkpointing": {
                mode: asdict(found) | {"total": found.total}
                for mode, found in self.by_checkpointing().items()
            },
            "layouts": [choice.to_json() for choice in self.choices],
            "infeasible": [
                {"data": each.layout.data, "shard": each.layout.shard,
                 "tensor": each.layout.tensor, "reason": each.reason}
                for each in self.refused
            ],
            "days": self.days,
            "days_range": self.span(self.days),
            "dollars": self.dollars,
            "dollars_range": None if self.dollars is None else self.span(self.dollars),
        }  # fmt: skip


def ask(
    config: ModelConfig, gpus: int, gpu: GPU, *, tokens: int | None = None,
    batch_tokens: int | None = None, optimizer: Optimizer = "muon", dtype: Dtype = "bfloat16",
    price: float | None = None,
) -> Question:  # fmt: skip
    """A question with its defaults: 20 tokens for each parameter (Hoffmann et al. 2022), a batch by size,
    the GPU's published price. Raises `InputError` for a batch that is not made of whole windows."""
    count, context = parameter_count(config), config.context_length
    by_size = next((batch for most, batch in BATCHES if count < most), LARGEST_BATCH)
    batch = max(context, by_size // context * context) if batch_tokens is None else batch_tokens
    if batch % context:
        below = max(context, batch // context * context)
        raise InputError(
            f"a batch of {batch:,} tokens is not made of whole windows of {context:,}",
            "--batch-tokens", f"use {below}, or another --context-length",
        )  # fmt: skip
    return Question(
        config, gpus, gpu, TOKENS_PER_PARAMETER * count if tokens is None else tokens, batch,
        optimizer, dtype, gpu.price if price is None else price,
    )  # fmt: skip


def plan_at_scale(question: Question) -> ScalePlan:
    """Try every layout; raises `InputError` when none fits, with the number of GPUs that would do."""
    choices, refused = _layouts(question)
    if not choices:
        raise _too_few(question, refused)
    choices.sort(key=lambda choice: choice.speed.tokens_per_second, reverse=True)
    return ScalePlan(question, tuple(choices), tuple(refused))


def _layouts(question: Question) -> tuple[list[Choice], list[Refused]]:
    choices, refused = [], []
    for layout in divisions(question.gpus):
        reason = refusal(question.config, layout, question.windows)
        if reason is None:
            fitting = list(_forms(question, layout))
            if fitting:
                choices.append(max(fitting, key=lambda form: form.speed.tokens_per_second))
                continue
            refused.append(_too_large(question, layout))
        else:
            refused.append(Refused(layout, reason))
    return choices, refused


def _forms(question: Question, layout: Layout) -> Iterator[Choice]:
    """A layout with each mode of checkpointing, and the largest passes that fit with it."""
    for mode in CHECKPOINTING:
        for form in passes(_with(layout, mode), question.windows):
            held = memory(question.config, form, question.optimizer, question.dtype)
            if held.total <= question.usable:
                yield Choice(form, held, speed(question.config, form, question.gpu, question.dtype))
                break


def _with(layout: Layout, mode: Any) -> Layout:
    return Layout(
        layout.data, layout.shard, layout.tensor, mode, layout.micro_batch, layout.accumulation
    )


def _too_large(question: Question, layout: Layout) -> Refused:
    *_, smallest = passes(_with(layout, "full"), question.windows)
    least = memory(question.config, smallest, question.optimizer, question.dtype).total
    reason = N_(
        f"needs {least / 1e9:,.1f} GB on each GPU, even with full checkpointing and one window in a "
        f"pass; {question.usable / 1e9:,.1f} GB of a {question.gpu.name} are usable"
    )
    return Refused(layout, reason, float(least))


def _too_few(question: Question, refused: list[Refused]) -> InputError:
    """What to say when no layout fits."""
    nearest = min(refused, key=lambda each: each.least)
    name, gpus = question.gpu.name, question.gpus
    enough = _enough(question)
    fix = "choose a smaller model, a shorter --context-length or a GPU with more memory"
    if enough and enough > gpus:
        fix = f"it fits on {enough} of them"
    elif any("batch" in each.reason for each in refused):
        fix = "choose a --batch-tokens of more windows, a multiple of the GPUs that share it"
    return InputError(
        f"the model fits on {gpus} {name} in no layout: {nearest.reason}",
        f"--gpus {gpus}", fix,
    )  # fmt: skip


def _enough(question: Question) -> int | None:
    """The smallest power of two of GPUs that fits, with a batch of a window for each at least."""
    gpus = 1
    while gpus <= MOST_GPUS:
        context = question.config.context_length
        batch = max(question.windows, gpus) * context
        more = Question(
            question.config, gpus, question.gpu, question.tokens, batch,
            question.optimizer, question.dtype,
        )  # fmt: skip
        if _layouts(more)[0]:
            return gpus
        gpus *= 2
    return None
