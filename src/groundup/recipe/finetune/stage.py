"""The tuning stage: a model directory and rows in, checkpoints and a model with a job to do out.

All kinds go the same way: read the model, put an adapter on it if one is wanted, let the kind read its
rows (`PREPARE`), train in a session, save the adapter, merge it, save the model.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from groundup.errors import InputError
from groundup.evaluate.forgetting import Change, forgotten
from groundup.evaluate.results import Measured
from groundup.evaluate.sections import forgetting_result
from groundup.files import atomic_file
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.lora import absorb, add_lora, count_parameters
from groundup.model.quantized import is_quantized, quantize
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.classify import prepare_classify
from groundup.recipe.finetune.general import general_panel
from groundup.recipe.finetune.instruct import prepare_instruct
from groundup.recipe.finetune.prefer import prepare_prefer
from groundup.recipe.finetune.reason import prepare_reason
from groundup.recipe.finetune.rows import row_files
from groundup.recipe.finetune.tuning import Tuning
from groundup.recipe.schema import FinetuneConfig, Recipe
from groundup.recipe.stages import Stage
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.tokenizer.templates import read_template
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import TrainState, checkpoints, identity_of, saved_identity
from groundup.train.config import TrainConfig
from groundup.train.loop import Run
from groundup.train.parallel import Parallel
from groundup.train.processes import is_first
from groundup.train.session import Session, run_session
from groundup.weights.adapters import save_adapter
from groundup.weights.directory import find, load, load_tokenizer, read_config, weights_checksum
from groundup.weights.vocabulary import fitted

PREPARE: dict[str, Callable[[Recipe, RunDirectory, GPT, Tokenizer], Tuning]] = {
    "classify": prepare_classify, "instruct": prepare_instruct, "prefer": prepare_prefer,
    "reason": prepare_reason,
}  # fmt: skip
WHY = {
    "classify": N_("Learning which label belongs to a text, from texts with labels."),
    "instruct": N_("Learning to answer: only what the assistant says is to be learned."),
    "prefer": N_("Learning which of two answers people prefer, beside the model as it was."),
    "reason": N_("Trying answers, checking them, and making those likelier that are right."),
}
# Peak rates without an adapter and with one, which needs larger steps (Hu et al. 2021, Schulman 2025).
RATES = {
    "classify": (1e-4, 1e-3), "instruct": (5e-5, 5e-4), "prefer": (5e-6, 5e-5), "reason": (1e-5, 1e-4),
}  # fmt: skip


@dataclass(frozen=True)
class TuneSummary:
    """What the stage has come to: the content of `summary.json`."""

    objective: str
    steps: int
    tokens: int
    seconds: float
    """Training alone, over all sessions."""
    parameters: int
    trainable_parameters: int
    model_checksum: str
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured at the end."""
    notes: list[str] = field(default_factory=list)
    """How many rows are left out, which prompts are cut."""
    left_out: list[dict[str, str]] = field(default_factory=list)
    """Each row that is no use: `where` it is, and `what` is wrong."""
    results: list[dict[str, Any]] = field(default_factory=list)
    """The figures once more, for tables and the report."""


def stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def fits() -> bool:
        saved = checkpoints(run.finetune / "checkpoints")
        return not saved or saved_identity(saved[-1]) == _identity(recipe, run)

    return Stage(
        "finetune",
        WHY[recipe.finetune.kind],
        lambda: decisive(recipe, run) | {"minutes": recipe.finetune.train.minutes},
        lambda watcher: finetune(recipe, run, watcher),
        run.finetune / "summary.json",
        fits,
        shared=True,
    )


def finetune(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> None:
    """Tune the model; checkpoints, `metrics.jsonl`, `adapter/`, `model/` and `summary.json` go to the
    finetune folder of `run`. Goes on from the newest checkpoint, as pretraining does."""
    out, source, identity = run.finetune, base(recipe, run), _identity(recipe, run)
    recipe = _divided(recipe)
    config, tuning = recipe.finetune, prepare(recipe, run)
    for note in tuning.notes:
        watcher.warned(note)
    before = general_panel(tuning.model, tuning.general)

    def warn(training: Run) -> None:
        if said := tuning.watch(training):
            watcher.warned(said)

    session = Session(
        out, identity, settings_of(config, tuning),
        tuning.batches, tuning.objective, tuning.evaluate, (watcher.stepped, warn),
        tuning.improves, watcher.evaluated, recipe.parallel, watcher.warned,
    )  # fmt: skip
    training, _ = run_session(tuning.model, session)
    tuning.model.eval()
    found = tuning.finish()
    changes = forgotten(before, general_panel(tuning.model, tuning.general))
    if is_first():
        _write(recipe, run, tuning, source, training.state, found, changes)


def _divided(recipe: Recipe) -> Recipe:
    """The recipe whose micro-batches all replicas can share."""
    if recipe.parallel.shard > 1 or recipe.parallel.tensor > 1:
        raise InputError(
            "a tuning is spread over replicas only", "parallel", "use --parallel.data instead"
        )
    config = recipe.finetune
    train = Parallel(recipe.parallel).divide(config.train)
    return recipe.model_copy(update={"finetune": config.model_copy(update={"train": train})})


def _write(
    recipe: Recipe, run: RunDirectory, tuning: Tuning, source: Path, state: TrainState,
    found: Measured, changes: Sequence[Change],
) -> None:  # fmt: skip
    """Write what was tuned, and what it has come to."""
    config, out, sizes = recipe.finetune, run.finetune, count_parameters(tuning.model)
    # An adapter's files hold no head of labels, and no tokens that its base does not have.
    same_tokens = read_config(source).vocab_size == tuning.model.config.vocab_size
    if config.lora.rank and config.kind != "classify" and same_tokens:
        save_adapter(tuning.model, out / "adapter", source.resolve())
    tuning.save(out / "model")
    results = [*found.results, *([forgetting_result(run.path.name, changes)] if changes else [])]
    summary = TuneSummary(
        config.kind, state.step, state.tokens, state.seconds, sizes.all, sizes.trainable,
        weights_checksum(out / "model"), found.figures | {"forgetting": _figures(changes)},
        tuning.notes, [{"where": where, "what": what} for where, what in tuning.bad.problems],
        [result.to_json() for result in results],
    )  # fmt: skip
    with atomic_file(out / "summary.json") as file:
        json.dump(asdict(summary), file, indent=2, ensure_ascii=False)


def _figures(changes: Sequence[Change]) -> dict[str, Any] | None:
    """Bits per byte of general text before and after; None where none is known."""
    if not changes:
        return None
    (change,) = changes
    return {
        "before": change.before, "after": change.after, "relative": change.relative,
        "relative_interval": change.relative_interval,
    }  # fmt: skip


def settings_of(config: FinetuneConfig, tuning: Tuning) -> TrainConfig:
    """The settings of the loop, with what follows from the number of rows and from the objective."""
    train = config.train
    per_epoch = max(1, tuning.batches_per_epoch // train.grad_accumulation)
    values = {
        "steps": train.steps or math.ceil(config.epochs * per_epoch),
        "eval_every": train.eval_every or per_epoch,
        "learning_rate": train.learning_rate or RATES[config.kind][bool(config.lora.rank)],
    }
    return train.model_copy(update=values)


def prepare(
    recipe: Recipe, run: RunDirectory, source: tuple[GPT, Tokenizer] | None = None
) -> Tuning:
    """The model that the tuning begins from (`source`, or the one on the disk), changed as the settings
    say, with its rows."""
    return PREPARE[recipe.finetune.kind](recipe, run, *begin(recipe, run, source))


def begin(
    recipe: Recipe, run: RunDirectory, source: tuple[GPT, Tokenizer] | None = None
) -> tuple[GPT, Tokenizer]:
    """What `prepare` tunes, before any row is read: with room for the tokens of its turns, in few bits
    or with an adapter on it, as the settings say."""
    config = recipe.finetune
    model, tokenizer = source or load(base(recipe, run))
    absorb(model)  # an adapter that is there already becomes a part of what is tuned
    torch.manual_seed(config.train.seed)
    if config.objective == "instruct" and (template := _template(config, tokenizer)):
        before, tokenizer = tokenizer, tokenizer.with_template(template)
        model = fitted(model, before, tokenizer)
    if config.base_bits < 32:
        if not config.lora.rank:
            raise InputError(
                f"a base of {config.base_bits} bits does not train", "finetune.base_bits",
                "add an adapter with --lora-rank 8, or leave the base at 32 bits",
            )  # fmt: skip
        quantize(model, config.base_bits)
    if is_quantized(model) and not config.lora.rank:
        raise InputError(
            "a quantised model does not train", str(base(recipe, run)),
            "add an adapter with --lora-rank 8, or tune the model that it was made from",
        )  # fmt: skip
    if config.lora.rank:
        add_lora(model, config.lora)
    return model, tokenizer


def _template(config: FinetuneConfig, tokenizer: Tokenizer) -> str | None:
    """The chat template to give to the tokenizer: the one that is asked for, or groundup's where it has
    none by which turns can be told apart."""
    return config.instruct.template or (None if tokenizer.knows_turns else "groundup")


def base(recipe: Recipe, run: RunDirectory) -> Path:
    """The model that is tuned: the one that is named, or the one that this run has pretrained."""
    return find(recipe.finetune.model) if recipe.finetune.model else run.pretrained


def read_summary(run: RunDirectory) -> TuneSummary:
    """The summary of a finished stage."""
    return TuneSummary(**json.loads((run.finetune / "summary.json").read_text(encoding="utf-8")))


def decisive(recipe: Recipe, run: RunDirectory) -> dict[str, Any]:
    """All that decides the tuned weights."""
    config = recipe.finetune
    settings = config.model_dump(include={"objective", "epochs", "lora", "base_bits", config.kind})
    instruct = config.instruct
    return {
        "model": weights_checksum(base(recipe, run)),
        "tokenizer": load_tokenizer(base(recipe, run)).fingerprint,
        "rows": _rows(recipe),
        "replay": fingerprint(instruct.replay) if instruct.replay else None,
        "template": read_template(instruct.template) if instruct.template else None,
        "settings": settings,
        "train": config.train.decisive(),
    }


def _rows(recipe: Recipe) -> str | int:
    """What stands for the rows: the content of their files, or so many documents of the sample world."""
    config = recipe.finetune
    of_world = recipe.data.is_world or config.kind == "reason"
    return (
        recipe.data.world_documents
        if of_world and not config.data
        else fingerprint(row_files(recipe))
    )


def _identity(recipe: Recipe, run: RunDirectory) -> str:
    """A hash of `decisive`, which checkpoints carry."""
    return identity_of(decisive(recipe, run))
