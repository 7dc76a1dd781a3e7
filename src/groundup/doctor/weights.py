"""Symptoms in the weights: what the saved model does, asked on the run's own text."""

from collections.abc import Iterator
from statistics import median

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from groundup.data.windows import evaluation_windows
from groundup.doctor.finding import Finding
from groundup.doctor.rates import reach
from groundup.doctor.run import ExaminedRun
from groundup.evaluate.language import score_language
from groundup.model.gpt import GPT

PROBED_TOKENS = 4000
FEWEST_STEPS = 10


def no_causal_mask(run: ExaminedRun) -> Iterator[Finding]:
    """Change the second half of a window: the logits of the first half must stay, to rounding (a
    thousandth of their spread)."""
    windows = _probe_windows(run)
    if windows is None or len(windows) < 2 or not run.model:
        return
    ids = windows[:, :-1]
    half = ids.shape[1] // 2
    changed = torch.cat([ids[:, :half], ids.roll(1, dims=0)[:, half:]], dim=1)
    before, after = _logits(run.model, ids)[:, :half], _logits(run.model, changed)[:, :half]
    moved, spread = (before - after).abs().max().item(), before.std().item()
    if moved > 1e-3 * max(spread, 1e-6):
        yield Finding(
            "no-causal-mask", "the model sees the tokens that it is to predict",
            f"other tokens from position {half} on change the logits before it by up to {moved:.2g} "
            f"(they spread by {spread:.2g}; {run.weights_place})",
            "let position t look at positions up to t only: a causal mask in attention, no convolution "
            "or norm over later positions",
        )  # fmt: skip


def targets_not_shifted(run: ExaminedRun) -> Iterator[Finding]:
    """A model that says the token it has just read: the loss of that is far below the loss of the
    next token, and is the one that the training showed. (An untrained model with tied embeddings
    also says what it reads; but not at the training's loss.)"""
    windows = _probe_windows(run)
    if windows is None or not run.model or len(run.steps) < 3:
        return
    logits = _logits(run.model, windows[:, :-1])
    copying = F.cross_entropy(logits.flatten(0, 1), windows[:, :-1].flatten()).item()
    predicting = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()
    shown = median(row["loss"] for row in run.steps[-3:])
    if copying < 0.5 * predicting and abs(shown - copying) < 0.25 * abs(shown - predicting):
        same = (logits.argmax(-1) == windows[:, :-1]).float().mean().item()
        yield Finding(
            "targets-not-shifted", "the model learns to repeat the token it reads",
            f"{same:.0%} of its likeliest next tokens are the token just read; loss {copying:.3f} for "
            f"repeating, {predicting:.3f} for the next token, {shown:.3f} in training "
            f"({run.weights_place}, {run.metrics_path})",
            "shift the targets by one: inputs ids[:, :-1], targets ids[:, 1:]",
        )  # fmt: skip


def not_reproduced(run: ExaminedRun) -> Iterator[Finding]:
    """A finished model whose validation loss is not the one that was written down, by more than a
    fifth and 0.3 nats (a sample of the text differs by a few hundredths): the code or the model
    has changed since, or the loss was that of an easier task."""
    recorded = run.evaluations[-1].get("val_loss") if run.evaluations else None
    if not recorded or not run.finished or not run.model or not run.validation:
        return
    length = run.model.config.context_length
    windows = evaluation_windows(run.validation, length, max(length, 5 * PROBED_TOKENS))
    measured = score_language(run.model, windows, run.validation.bytes_per_token).loss
    if abs(measured - recorded) > max(0.3, 0.2 * recorded):
        yield Finding(
            "loss-not-reproduced", "the saved model does not have the loss that was written down",
            f"validation loss {measured:.3f} now, {recorded:.3f} in {run.metrics_path} at step "
            f"{run.evaluations[-1]['step']}",
            "if it was lower then: the model saw its targets (a missing causal mask, a leak), or the "
            "code or the weights were changed since; train again with the code of now",
        )  # fmt: skip


def bad_weights(run: ExaminedRun) -> Iterator[Finding]:
    """Weights that are no numbers."""
    if not run.model:
        return
    for name, parameter in run.model.named_parameters():
        if not torch.isfinite(parameter).all():
            bad = int((~torch.isfinite(parameter)).sum())
            yield Finding(
                "bad-weights", "the saved weights hold numbers that are none",
                f"{bad:,} of {parameter.numel():,} in {name} ({run.weights_place})",
                "go on from an older checkpoint, or train again with a lower learning rate",
            )  # fmt: skip
            return


def frozen_weights(run: ExaminedRun) -> Iterator[Finding]:
    """Tensors that are the same, to the bit, in two checkpoints, or in one and the untrained model
    of the recipe's seed, though the rate would have moved them by ten roundings and more. A key's
    bias is left out: attention does not depend on it. Over `FEWEST_STEPS`, as the first ones may give
    a part no gradient: while the parts after it are zero, as some begin."""
    saved = _untrained(run) | run.checkpoint_weights
    first, last = min(saved, default=0), max(saved, default=0)
    if last - first < FEWEST_STEPS or reach(run.train_config, first, last) < 1e-5:
        return
    old, new = saved[first], saved[last]
    names = [n for n, _ in run.model.named_parameters()] if run.model else list(old)
    common = [n for n in names if not n.endswith("key.bias")]
    # A checkpoint leaves out what does not require gradients.
    frozen = [n for n in common if n not in new or (n in old and torch.equal(old[n], new[n]))]
    if frozen:
        yield Finding(
            "frozen-weights", "the model does not train" if len(frozen) == len(common)
            else "a part of the model does not train",
            f"{len(frozen)} of {len(common)} tensors are the same at step {first} and at step {last}: "
            f"{', '.join(frozen[:4])}{' …' if len(frozen) > 4 else ''} ({run.checkpoints[-1]})",
            "look whether they require gradients, are given to an optimiser, and are used at all",
        )  # fmt: skip


def _untrained(run: ExaminedRun) -> dict[int, dict[str, Tensor]]:
    """The weights the recipe begins with, where only one checkpoint is left to compare with."""
    if len(run.checkpoint_weights) != 1 or not run.config:
        return {}
    state = torch.get_rng_state()
    torch.manual_seed(run.train_config.seed)
    model = GPT(run.config)
    torch.set_rng_state(state)
    return {0: {name: p.detach() for name, p in model.named_parameters()}}


def _probe_windows(run: ExaminedRun) -> Int[Tensor, "batch window"] | None:
    """A few whole windows of the training text, spread over it; None where they do not fit the
    model."""
    if not run.train or not run.model or len(run.train) < 32:
        return None
    length = min(run.model.config.context_length, len(run.train) - 1)
    count = max(2, PROBED_TOKENS // length)
    last = len(run.train) - length - 1
    starts = [i * last // (count - 1) for i in range(count)]
    rows = [torch.from_numpy(run.train.read(start, start + length + 1)) for start in starts]
    windows = torch.stack(rows)
    return windows if int(windows.max()) < run.model.config.vocab_size else None


@torch.inference_mode()
def _logits(model: GPT, ids: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
    return model(ids)
