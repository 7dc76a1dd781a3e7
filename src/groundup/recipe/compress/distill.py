"""A student trained beside its teacher, from model directories or a preset."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from groundup.compress.config import DistillConfig
from groundup.compress.distill import (
    add_projection,
    cached_distillation,
    check_same_tokenizer,
    distillation,
    drop_projection,
)
from groundup.compress.masks import masks_of
from groundup.compress.recover import keep_zeros
from groundup.compress.teacher_cache import Question, TeacherCache
from groundup.errors import InputError, nearest
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.lora import absorb
from groundup.model.presets import PRESETS, preset
from groundup.recipe.compress.place import Place
from groundup.recipe.compress.text import window_length
from groundup.recipe.compress.training import check_weights, train_on, training_windows
from groundup.recipe.finetune.general import GeneralText, general_text
from groundup.recipe.pretrain import score_validation
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import Hook, Run
from groundup.weights.directory import find, load, weights_checksum


@dataclass(frozen=True)
class DistillRequest:
    """Who learns what from whom, and where the student goes."""

    teacher: str
    student: str
    """A preset, or a model whose weights are gone on from."""
    data: tuple[str, ...]
    out: Path
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of `ModelConfig` to replace the preset's."""
    config: DistillConfig = DistillConfig()
    train: TrainConfig = TrainConfig()
    resume: bool = False
    cache: Path | None = None
    """Where the teacher's words are kept with `config.cache_top_k`, for other runs too. Default: with
    what else the training leaves in `out`."""


@dataclass(frozen=True)
class Student:
    """The model that learns, and what stays as it is in it."""

    model: GPT
    origin: Any
    """What decides its first weights."""
    hooks: tuple[Hook, ...] = ()


def distill_model(request: DistillRequest, watcher: Watcher) -> dict[str, Any]:
    """Train a student into the model directory `request.out`; what came of it, by the names that scripts
    read. Raises `InputError` for what does not fit, and `StoppedError` when the training is stopped."""
    check_weights(request.train)
    if request.config.cache_top_k and request.config.hidden_weight:
        raise InputError(
            "the hidden states of a teacher are not kept", "--distill.hidden_weight",
            "leave it at 0, or leave out the cache",
        )  # fmt: skip
    source, place = find(request.teacher), Place(request.out)
    of_text = fingerprint(request.data)
    with place.taken(request.resume):
        teacher, tokenizer = load(source)
        absorb(teacher)
        torch.manual_seed(request.train.seed)
        student = read_student(request, teacher, tokenizer)
        text = general_text(request.data, source, tokenizer, place.training / "text")
        assert text is not None  # as there are paths
        length = window_length(student.model.config, text, teacher.config.context_length)
        watcher.stage("distill", "Learning from what a larger model finds likely, token by token.")
        of_teacher = score_validation(teacher, text.validation, length)
        origins = {"teacher": weights_checksum(source), "text": of_text}
        run, figures = _train(request, student, teacher, text, length, origins, watcher)
        drop_projection(student.model)
        place.put(student.model, tokenizer)
    return {
        "model": str(request.out), **_speed(run), **figures,
        "teacher_bits_per_byte": of_teacher and of_teacher.bits_per_byte,
        "parameters": sum(p.numel() for p in student.model.parameters()),
        "teacher_parameters": sum(p.numel() for p in teacher.parameters()),
        "model_checksum": weights_checksum(request.out),
    }  # fmt: skip


def read_student(request: DistillRequest, teacher: GPT, tokenizer: Tokenizer) -> Student:
    """The student before it learns. Raises `InputError` where there is none, or where it has another
    tokenizer than its teacher."""
    if request.student in PRESETS:
        config = _preset(request, teacher.config)
        return Student(GPT(config), config.model_dump())
    if request.model:
        raise InputError(
            "the parts of a finished model are its own", "--model", "use it with a preset"
        )
    if not Path(request.student).exists() and (close := nearest(request.student, PRESETS)):
        raise InputError(
            f"there is no preset and no model {request.student!r}", "--student",
            f"did you mean {close}?",
        )  # fmt: skip
    source = find(request.student)
    model, its_own = load(source)
    check_same_tokenizer(tokenizer, its_own)
    absorb(model)
    masks = masks_of(model)
    return Student(model, weights_checksum(source), (keep_zeros(masks),) if masks else ())


def _preset(request: DistillRequest, teacher: ModelConfig) -> ModelConfig:
    """A preset with its teacher's ids; no use in seeing further than the teacher."""
    context = min(PRESETS[request.student]["context_length"], teacher.context_length)
    sizes = {"vocab_size": teacher.vocab_size, "context_length": context}
    return preset(request.student, **(sizes | request.model))


def _train(
    request: DistillRequest, student: Student, teacher: GPT, text: GeneralText, length: int,
    origins: dict[str, str], watcher: Watcher,
) -> tuple[Run, dict[str, Any]]:  # fmt: skip
    place, config = Place(request.out), request.config
    if config.hidden_weight:
        add_projection(student.model, teacher)
    settings = config.model_dump(exclude_none=True)
    decisive = origins | {"student": student.origin, "distill": settings}
    objective, batch = distillation(teacher, config), None
    if config.cache_top_k:
        cache = _filled_cache(request, student.model, teacher, text, length, origins, watcher)
        objective, batch = cached_distillation(cache.question.vocab_size, config), cache.batch
    return train_on(
        text, length, student.model, objective, request.train, decisive, place, watcher,
        student.hooks, batch,
    )  # fmt: skip


def _filled_cache(
    request: DistillRequest, student: GPT, teacher: GPT, text: GeneralText, length: int,
    origins: dict[str, str], watcher: Watcher,
) -> TeacherCache:  # fmt: skip
    """What the teacher says of the whole text, asked now if it was not before."""
    config, top_k = request.config, request.config.cache_top_k
    assert top_k is not None
    vocab_size = min(student.config.vocab_size, teacher.config.vocab_size)
    question = Question(
        origins["teacher"], origins["text"], length, vocab_size, min(top_k, vocab_size),
        config.temperature,
    )  # fmt: skip
    windows = training_windows(text, length, request.train)
    folder = request.cache or Place(request.out).training / "teacher"
    cache = TeacherCache(folder, question, windows)
    if cache.missing:
        watcher.stage("teacher", f"Asking the teacher once of all the text, into {folder}.")
        _warn_of_waste(request.train, len(windows.starts), watcher)
        cache.fill(teacher.eval(), watcher.advanced)
        watcher.stage("distill", "Learning from what the teacher said.")
    return cache


def _warn_of_waste(config: TrainConfig, windows: int, watcher: Watcher) -> None:
    read = config.steps * config.grad_accumulation * config.micro_batch
    if read < windows:
        watcher.warned(
            f"this training reads {read:,} of {windows:,} windows, and the cache takes the teacher through "
            "all of them: it pays off only if other trainings use it too"
        )


def _speed(run: Run) -> dict[str, Any]:
    state = run.state
    return {
        "steps": state.step, "tokens": state.tokens, "seconds": state.seconds,
        "tokens_per_second": state.tokens / max(state.seconds, 1e-9),
    }  # fmt: skip
