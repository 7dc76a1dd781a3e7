"""A model directory pruned, and trained to recover."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from groundup.compress.config import PruneConfig, RecoverConfig
from groundup.compress.prune import Pruned, prune
from groundup.compress.recover import keep_zeros
from groundup.compress.structured import Windows
from groundup.model.gpt import GPT
from groundup.model.lora import absorb
from groundup.recipe.compress.place import Place
from groundup.recipe.compress.text import calibration, window_length
from groundup.recipe.compress.training import check_weights, train_on
from groundup.recipe.finetune.general import GeneralText, general_text
from groundup.recipe.pretrain import score_validation
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.objectives import next_token
from groundup.weights.directory import find, load, weights_checksum
from groundup.weights.stored import on_disk

# What goes is chosen by so many windows, as in Wanda's paper (section 4.5), some at a time.
CALIBRATION_WINDOWS = 128
AT_ONCE = 4
# Types of numbers that a model may be stored in; others, and several, are written as 32 bits.
STORED = {"F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class PruneRequest:
    """What is to be pruned, how, and where to."""

    source: str
    config: PruneConfig
    out: Path
    recover: tuple[str, ...] = ()
    """Text to train on after pruning; none: no training."""
    calibration: tuple[str, ...] = ()
    """Text to choose by and, without `recover`, to measure on. Default: that of `recover`, or what the
    model was made from, if that lies beside it."""
    train: RecoverConfig = RecoverConfig()
    resume: bool = False


def prune_model(request: PruneRequest, watcher: Watcher) -> dict[str, Any]:
    """Prune a model into the model directory `request.out`; what came of it, by the names that scripts
    read. Raises `InputError` for what does not fit, and `StoppedError` when the training is stopped."""
    check_weights(request.train)
    source, place = find(request.source), Place(request.out)
    decisive = _decisive(request, source)
    with place.taken(request.resume):
        model, tokenizer = load(source)
        absorb(model)
        texts = _Texts(request, source, model, tokenizer, place)
        watcher.stage("prune", "Taking away what the model needs least.")
        before, sizes = texts.bits_per_byte(model), _parameters(model)
        windows = texts.windows()
        pruned = prune(model, request.config, windows)
        figures = {
            "parameters_before": sizes, "parameters_after": _parameters(pruned.model),
            "sparsity": pruned.sparsity, "bits_per_byte_before": before,
            "bits_per_byte_pruned": texts.bits_per_byte(pruned.model),
        }  # fmt: skip
        if request.recover:
            figures |= _recover(request, pruned, texts, decisive, watcher)
        smaller = as_stored(pruned.model, source)
        figures["bits_per_byte_after"] = texts.bits_per_byte(smaller.float())
        place.put(as_stored(smaller, source), tokenizer)
    sizes = {"bytes_before": on_disk(source).bytes, "bytes_after": on_disk(request.out).bytes}
    return {"model": str(request.out), "pattern": request.config.pattern, **sizes, **figures}


class _Texts:
    """What is chosen by, trained on and measured on."""

    def __init__(
        self, request: PruneRequest, source: Path, model: GPT, tokenizer: Tokenizer, place: Place
    ):
        def read(paths: tuple[str, ...], name: str) -> GeneralText | None:
            return general_text(paths, source, tokenizer, place.training / name)

        self.choose = read(request.calibration or request.recover, "calibration")
        both = request.recover and request.calibration
        self.use = read(request.recover, "text") if both else self.choose
        self.length = min(
            (window_length(model.config, text) for text in (self.choose, self.use) if text),
            default=1,
        )

    def windows(self) -> Windows:
        """What to choose by, some windows at a time."""
        if self.choose is None:
            return ()
        return calibration(self.choose, self.length, CALIBRATION_WINDOWS).split(AT_ONCE)

    def bits_per_byte(self, model: GPT) -> float | None:
        if self.use is None:
            return None
        found = score_validation(model, self.use.validation, self.length)
        return found and found.bits_per_byte


def _decisive(request: PruneRequest, source: Path) -> dict[str, Any]:
    """All that decides the weights, beside the settings of the training."""
    return {
        "model": weights_checksum(source),
        "prune": request.config.model_dump(),
        "calibration": fingerprint(request.calibration) if request.calibration else None,
        "text": fingerprint(request.recover) if request.recover else None,
    }


def _recover(
    request: PruneRequest, pruned: Pruned, texts: _Texts, decisive: dict[str, Any], watcher: Watcher
) -> dict[str, Any]:
    """Train what is left to make up for what went."""
    assert texts.use is not None
    watcher.stage("recover", "Letting what is left make up for what went.")
    hooks = (keep_zeros(pruned.masks),) if pruned.masks else ()
    run, _ = train_on(
        texts.use, texts.length, pruned.model, next_token, request.train, decisive,
        Place(request.out), watcher, hooks,
    )  # fmt: skip
    return {"steps": run.state.step, "tokens": run.state.tokens, "seconds": run.state.seconds}


def _parameters(model: GPT) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def as_stored(model: GPT, source: Path) -> GPT:
    """The model in the type of numbers that `source` is stored in, in place."""
    return model.to(STORED.get(on_disk(source).dtype or "", torch.float32))
