"""The pretraining stage: data and a model configuration in, checkpoints and a model directory out."""

import contextlib
import hashlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from groundup.data.shards import Tokens, open_shards
from groundup.data.windows import Windows, evaluation_windows
from groundup.errors import InputError, StoppedError, TrainingError
from groundup.evaluate.language import LanguageScore, score_language
from groundup.generation.text import generate
from groundup.model.gpt import GPT
from groundup.recipe.schema import PretrainConfig
from groundup.recipe.watch import Watcher
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from groundup.train.loop import Objective, Run, start_run, train
from groundup.train.metrics import MetricsFile
from groundup.train.objectives import next_token, weighted_answers
from groundup.weights.directory import save

LOG_EVERY = 10
# Settings that may differ when a run is resumed: they do not decide the weights.
FREE_SETTINGS = {"eval_every", "eval_tokens", "checkpoint_every", "keep_checkpoints", "minutes"}

Extra = Callable[[GPT, Tokenizer], dict[str, Any]]


@dataclass
class Pretrained:
    """What the stage made."""

    model: GPT
    directory: Path
    run: Run
    score: LanguageScore | None


def pretrain(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    data: Path,
    out: Path,
    resume: bool,
    watcher: Watcher,
    begin_from: GPT | None = None,
    extra_evaluation: Extra | None = None,
) -> Pretrained:
    """Train on the shards in `data`; checkpoints, `metrics.jsonl` and `model/` go to `out`.

    With `resume`, go on from the newest checkpoint, to the same bits as without the break. Raises
    `StoppedError` on Ctrl-C or SIGTERM, when the state has been saved.
    """
    tokens = open_shards(data, "train", tokenizer)
    validation = open_shards(data, "validation", tokenizer)
    torch.manual_seed(config.train.seed)
    model = begin_from or GPT(config.model_for(tokenizer.vocab_size))
    windows = Windows(tokens, model.config.context_length, config.windows)
    identity = _identity(config, model, tokenizer, data)
    run = _begin(model, config, out, resume, identity)
    metrics = MetricsFile(out / "metrics.jsonl", run.state.step)

    def evaluate(most_tokens: int | None) -> LanguageScore | None:
        score = _score(model, validation, most_tokens)
        row = _evaluation_row(run, score, tokenizer, config.prompt)
        row |= extra_evaluation(model, tokenizer) if extra_evaluation else {}
        metrics.write(**row)
        watcher.evaluated(row)
        return score

    with _stop_on_signal() as stop:
        hooks = [
            lambda run: _log(run, metrics),
            watcher.stepped,
            # Saved before it is evaluated: whatever happens there, the training is not lost.
            lambda run: _save(run, out, identity, bool(stop)),
            lambda run: _evaluate_now(run, evaluate),
        ]
        try:
            train(run, lambda n: windows.batch(n, config.train.micro_batch),
                  _objective(config, tokenizer), hooks)  # fmt: skip
        except TrainingError as error:
            metrics.write(step=run.state.step + 1, stopped=error.what)
            raise
    score = evaluate(None)
    save(model, tokenizer, out / "model")
    return Pretrained(model.eval(), out / "model", run, score)


def _begin(model: GPT, config: PretrainConfig, out: Path, resume: bool, identity: str) -> Run:
    """A new run, or the one in `out` at its newest checkpoint."""
    saved = checkpoints(out / "checkpoints")
    if saved and not resume:
        raise InputError(
            "this folder holds a run already", str(out), "add --resume, or choose another --out"
        )
    run = start_run(model, config.train)
    if saved:
        run.checkpoint = saved[-1]
        run.state = load_checkpoint(run.checkpoint, model, run.optimizers, identity)
    return run


def _objective(config: PretrainConfig, tokenizer: Tokenizer) -> Objective:
    weight, special = config.train.answer_weight, tokenizer.special_tokens
    if weight == 1:
        return next_token
    if "<|assistant|>" not in special or "<|end|>" not in special:
        raise InputError(
            "answers can be weighted only where a tokenizer marks them", "train.answer_weight",
            'add "<|assistant|>" and "<|end|>" to the special tokens, or leave it at 1',
        )  # fmt: skip
    return weighted_answers(special["<|assistant|>"], special["<|end|>"], weight)


def _identity(config: PretrainConfig, model: GPT, tokenizer: Tokenizer, data: Path) -> str:
    """A hash of all that decides the weights: what a checkpoint must agree with to be resumed."""
    decisive = {
        "model": model.config.model_dump(),
        "train": config.train.model_dump(exclude=FREE_SETTINGS),
        "windows": config.windows.model_dump(),
        "tokenizer": tokenizer.fingerprint,
        "data": json.loads((data / "shards.json").read_text(encoding="utf-8"))["splits"],
    }
    return hashlib.blake2b(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _score(model: GPT, validation: Tokens, most_tokens: int | None) -> LanguageScore | None:
    """None where the text is so short that nothing was kept for validation."""
    if len(validation) < 2:
        return None
    windows = evaluation_windows(validation, model.config.context_length, most_tokens)
    return score_language(model, windows, validation.bytes_per_token)


def _evaluation_row(
    run: Run, score: LanguageScore | None, tokenizer: Tokenizer, prompt: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"step": run.state.step, "seconds": run.state.seconds}
    if score:
        row |= {"val_loss": score.loss, "val_bits_per_byte": score.bits_per_byte}
    first = tokenizer.decode(tokenizer.encode(prompt or "\n"))
    continuation = generate(run.model, tokenizer, first, max_new_tokens=64, seed=0)
    run.model.train()
    return row | {"sample": first + continuation}


def _log(run: Run, metrics: MetricsFile) -> None:
    state = run.state
    if state.step % LOG_EVERY == 0 or state.step == 1:
        metrics.write(
            step=state.step, loss=run.loss, rate=run.rate, gradient_norm=run.gradient_norm,
            tokens=state.tokens, seconds=state.seconds, time=time.time(),
        )  # fmt: skip


def _save(run: Run, out: Path, identity: str, stopping: bool) -> None:
    config, step = run.config, run.state.step
    if stopping or run.finished or step % config.checkpoint_every == 0:
        keep = config.keep_checkpoints
        run.checkpoint = save_checkpoint(
            out / "checkpoints", run.model, run.optimizers, run.state, identity, keep
        )
        if stopping and not run.finished:
            raise StoppedError(
                f"stopped after step {step}; the state is saved", str(run.checkpoint),
                "go on with the same command and --resume",
            )  # fmt: skip


def _evaluate_now(run: Run, evaluate: Callable[[int], Any]) -> None:
    every = run.config.eval_every
    if every and run.state.step % every == 0 and not run.finished:
        evaluate(run.config.eval_tokens)


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """Yield a list that is filled at the first Ctrl-C or SIGTERM; the second one interrupts."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may listen to signals
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
