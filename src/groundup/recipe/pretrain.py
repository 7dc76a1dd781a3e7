"""The pretraining stage: data and a model configuration in, checkpoints and a model directory out."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from groundup.data.mixing import Drawn, MixedWindows, shares
from groundup.data.shards import Tokens, read_shards_index
from groundup.data.windows import Windows, evaluation_windows
from groundup.errors import InputError
from groundup.evaluate.language import LanguageScore, score_language
from groundup.files import atomic_file
from groundup.generation.text import generate
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.quantized import is_quantized
from groundup.recipe.directory import RunDirectory
from groundup.recipe.encode import sources_of, training_tokens, validation_tokens
from groundup.recipe.schema import PretrainConfig, Recipe
from groundup.recipe.stages import Stage
from groundup.recipe.watch import Watcher
from groundup.tokenizer.chat import ASSISTANT, END
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import checkpoints, identity_of, saved_identity
from groundup.train.clock import shares_of
from groundup.train.loop import Objective, Run
from groundup.train.memory import memory_problem
from groundup.train.objectives import next_token, weighted_answers
from groundup.train.parallel import Parallel, gathered
from groundup.train.session import Session, run_session
from groundup.weights.directory import find, load_model, read_config, save, weights_checksum

SAMPLE_TOKENS = 64


@dataclass(frozen=True)
class Summary:
    """What the stage has come to: the content of `summary.json`."""

    steps: int
    tokens: int
    seconds: float
    """Training alone, over all sessions."""
    parameters: int
    val_loss: float | None
    val_bits_per_byte: float | None
    model_checksum: str
    """Of the weights: the same for the same bits."""
    drawn: dict[str, dict[str, float | int]]
    """By source: windows, tokens, and how often its text was read (epochs)."""
    time_shares: dict[str, float] = field(default_factory=dict)
    """Where the time went since the training was last begun."""


def stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        return decisive(recipe, run) | {"minutes": recipe.pretrain.train.minutes}

    def fits() -> bool:
        saved = checkpoints(run.pretrain / "checkpoints")
        return not saved or saved_identity(saved[-1]) == identity(recipe, run)

    return Stage(
        "pretrain",
        "Guessing the next token, being told it, and moving every weight a little so that the guess "
        "improves.",
        inputs,
        lambda watcher: pretrain(recipe, run, watcher),
        run.pretrain / "summary.json",
        fits,
        shared=True,
    )


def pretrain(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> None:
    """Train on the tokens of `run`; checkpoints, `metrics.jsonl`, `model/` and `summary.json` go to its
    pretrain folder.

    Goes on from the newest checkpoint, to the same bits as without the break. Raises `StoppedError`
    on Ctrl-C or SIGTERM, when the state has been saved.
    """
    config, out, parallel = recipe.pretrain, run.pretrain, Parallel(recipe.parallel)
    train = parallel.divide(config.train)
    tokenizer = Tokenizer.load(run.tokenizer)
    windows = training_windows(recipe, run, tokenizer)
    validation = validation_tokens(run, tokenizer)
    _check_prompt(config.prompt, tokenizer, windows.context_length)
    if problem := memory_problem(model_config(recipe, tokenizer.vocab_size), train):
        raise InputError(problem, "pretrain", "`groundup plan` says what a run takes")
    torch.manual_seed(config.train.seed)
    model = _model(recipe, tokenizer)

    def evaluate(training: Run, whole: bool) -> dict[str, Any]:
        most = None if whole else config.train.eval_tokens
        length = model.config.context_length
        score = score_validation(model, validation, length, most, training.parallel)
        return validation_figures(score) | {"sample": _sample(model, tokenizer, config.prompt)}

    session = Session(
        out, identity(recipe, run), train,
        lambda n: windows.batch(n, train.micro_batch), _objective(config, tokenizer), evaluate,
        (watcher.stepped,), improves="val_loss", evaluated=watcher.evaluated, parallel=recipe.parallel,
        warned=watcher.warned,
    )  # fmt: skip
    training, figures = run_session(model, session)
    if finished := gathered(model):
        save(finished, tokenizer, out / "model")
        drawn = training.state.step * config.train.grad_accumulation * config.train.micro_batch
        _write_summary(training, figures, windows.drawn(drawn), out)


def read_summary(out: Path) -> Summary:
    """The summary of a finished stage."""
    return Summary(**json.loads((out / "summary.json").read_text(encoding="utf-8")))


def training_windows(recipe: Recipe, run: RunDirectory, tokenizer: Tokenizer) -> MixedWindows:
    """The stream of windows to learn from: of one source, or of several in their shares."""
    tokens = training_tokens(run, tokenizer)
    context_length = model_config(recipe, tokenizer.vocab_size).context_length
    config = recipe.pretrain.windows
    windows = {name: Windows(part, context_length, config) for name, part in tokens.items()}
    # A source of which cleaning left nothing is not there.
    parts = [part for part in recipe.data.sources if part.name in tokens]
    found = shares(
        [len(tokens[name]) for name in tokens],
        [part.weight for part in parts],
        [part.tokens for part in parts],
        recipe.data.temperature,
    )
    return MixedWindows(windows, dict(zip(tokens, found, strict=True)))


def model_config(recipe: Recipe, vocab_size: int) -> ModelConfig:
    """The model's configuration: that of the model to go on from, or the recipe's."""
    if recipe.pretrain.begin_from:
        return read_config(find(recipe.pretrain.begin_from))
    return recipe.pretrain.model_for(vocab_size)


def _model(recipe: Recipe, tokenizer: Tokenizer) -> GPT:
    if recipe.pretrain.begin_from:
        model = load_model(find(recipe.pretrain.begin_from))
        if is_quantized(model):
            raise InputError(
                "a quantised model does not train", recipe.pretrain.begin_from,
                "go on from the model that it was made from",
            )  # fmt: skip
        return model
    return GPT(model_config(recipe, tokenizer.vocab_size))


def _objective(config: PretrainConfig, tokenizer: Tokenizer) -> Objective:
    weight, special = config.train.answer_weight, tokenizer.special_tokens
    if weight == 1:
        return next_token
    if ASSISTANT not in special or END not in special:
        raise InputError(
            "answers can be weighted only where a tokenizer marks them", "train.answer_weight",
            f'add "{ASSISTANT}" and "{END}" to the special tokens, or leave it at 1',
        )  # fmt: skip
    return weighted_answers(special[ASSISTANT], special[END], weight)


def decisive(recipe: Recipe, run: RunDirectory) -> dict[str, Any]:
    """All that decides the weights: what a checkpoint must agree with to be resumed."""
    tokenizer = Tokenizer.load(run.tokenizer)
    train, begun = recipe.pretrain.train, recipe.pretrain.begin_from
    parts = [part.model_dump(exclude={"paths", "text_field"}) for part in recipe.data.sources]
    return {
        "model": model_config(recipe, tokenizer.vocab_size).model_dump(),
        "train": train.decisive(),
        "windows": recipe.pretrain.windows.model_dump(),
        "tokenizer": tokenizer.fingerprint,
        "data": {name: read_shards_index(run.tokens / name)["splits"] for name in sources_of(run)},
        "mixture": [parts, recipe.data.temperature] if parts else None,
        "begin_from": weights_checksum(find(begun)) if begun else None,
    }


def identity(recipe: Recipe, run: RunDirectory) -> str:
    """A hash of `decisive`, which checkpoints carry."""
    return identity_of(decisive(recipe, run))


def _write_summary(run: Run, figures: dict[str, Any], drawn: dict[str, Drawn], out: Path) -> None:
    state = run.state
    summary = Summary(
        steps=state.step,
        tokens=state.tokens,
        seconds=state.seconds,
        parameters=sum(p.numel() for p in run.model.parameters()),
        val_loss=figures.get("val_loss"),
        val_bits_per_byte=figures.get("val_bits_per_byte"),
        model_checksum=weights_checksum(out / "model"),
        drawn={name: asdict(each) for name, each in drawn.items()},
        time_shares=shares_of(run.clock.seconds),
    )
    with atomic_file(out / "summary.json") as file:
        json.dump(asdict(summary), file, indent=2)


def _check_prompt(prompt: str, tokenizer: Tokenizer, context_length: int) -> None:
    """Before the training, not in its first evaluation."""
    length = len(tokenizer.encode_prompt(prompt))
    if length > context_length:
        raise InputError(
            f"the prompt has {length} tokens, but this model looks at no more than {context_length}",
            "prompt", f"shorten it to {context_length} tokens",
        )  # fmt: skip


def score_validation(
    model: GPT,
    validation: Tokens,
    length: int,
    most_tokens: int | None = None,
    parallel: Parallel | None = None,
) -> LanguageScore | None:
    """How well the model predicts what was kept for validation, in windows of `length` tokens, of which each
    replica of `parallel` takes its part; None where the text is so short that nothing was kept."""
    if len(validation) < 2:
        return None
    parallel = parallel or Parallel()
    windows = parallel.part(evaluation_windows(validation, length, most_tokens))
    own = score_language(model, windows, validation.bytes_per_token)
    nats, tokens, text_bytes = parallel.summed(own.nats, own.tokens, own.text_bytes)
    return LanguageScore(nats, round(tokens), text_bytes)


def validation_figures(score: LanguageScore | None) -> dict[str, float]:
    """The score by the names that `metrics.jsonl` has."""
    return {"val_loss": score.loss, "val_bits_per_byte": score.bits_per_byte} if score else {}


def _sample(model: GPT, tokenizer: Tokenizer, prompt: str) -> str:
    first = tokenizer.decode(tokenizer.encode(prompt or "\n"))
    return first + generate(model, tokenizer, first, max_new_tokens=SAMPLE_TOKENS, seed=0)
