"""Symptoms of what does not fit together: model, training text and validation text."""

from collections.abc import Iterator
from functools import lru_cache
from statistics import median

import numpy as np
from jaxtyping import Int, UInt

from groundup.data.shards import Tokens
from groundup.doctor.finding import Finding
from groundup.doctor.run import ExaminedRun
from groundup.language import N_
from groundup.model.cost import parameter_count
from groundup.recipe.plan import MOST_EPOCHS

MOST_PARAMETERS_PER_TOKEN = 10
"""A model can store 2 to 3.6 bits per parameter (Allen-Zhu and Li 2024, Morris et al. 2025), and a
token of text has 5 to 8: ten parameters per token hold the whole text several times over."""
LEAST_VALIDATION = 1000
"""With a standard deviation of 2.5 nats per token, the error of the mean over so many is 0.08."""
COPIED_TOKENS = 50
"""So many equal tokens in a row are a copy, not chance (Lee et al. 2022)."""
SAMPLED_PLACES = 400


def epochs(run: ExaminedRun) -> float:
    """How often the training text was read, up to the newest step."""
    if not run.steps or not run.train or not len(run.train):
        return 0.0
    return run.steps[-1]["tokens"] / len(run.train)


def repeated_data(run: ExaminedRun) -> Iterator[Finding]:
    """Text read more than `MOST_EPOCHS` times."""
    if (times := epochs(run)) > MOST_EPOCHS:
        assert run.train is not None
        yield Finding(
            "repeated-data", "the same text is read again and again",
            f"{times:.0f} epochs of {len(run.train):,} tokens by step {run.steps[-1]['step']}; more "
            f"than {MOST_EPOCHS} teach less and less ({run.data})",
            "give more text, or train for fewer steps",
        )  # fmt: skip


def model_too_large(run: ExaminedRun) -> Iterator[Finding]:
    """A model that could learn its text by heart and has the time for it: more than
    `MOST_PARAMETERS_PER_TOKEN`, read more than twice. The 20 tokens per parameter of Hoffmann et al.
    2022 are what is best, not what is needed."""
    if not run.config or epochs(run) < 2:
        return
    assert run.train is not None
    size, tokens = parameter_count(run.config), len(run.train)
    if size > MOST_PARAMETERS_PER_TOKEN * tokens:
        yield Finding(
            "model-too-large", "the model is far too large for its text",
            f"{size:,} parameters for {tokens:,} tokens, {size / tokens:.0f} for each; best would "
            "be 20 tokens per parameter (recipe.toml, shards.json)",
            "give more text, choose a smaller preset, or go on from a trained model (--from)",
        )  # fmt: skip


def memorising(run: ExaminedRun) -> Iterator[Finding]:
    """Validation loss that rises from its best by 3 % and 0.05 nats (more than its scatter between
    evaluations) while the training loss has fallen further."""
    scored = [row for row in run.evaluations if "val_loss" in row]
    if len(scored) < 3 or not run.steps:
        return
    best, last = min(scored, key=lambda row: row["val_loss"]), scored[-1]
    rise = last["val_loss"] - best["val_loss"]
    if rise < max(0.05, 0.03 * best["val_loss"]):
        return
    then, now = _training_loss(run, best["step"]), _training_loss(run, last["step"])
    if now < then - 0.05:
        yield Finding(
            "memorising", "the model learns its training text by heart",
            f"validation loss {best['val_loss']:.3f} at step {best['step']}, {last['val_loss']:.3f} "
            f"at step {last['step']}; training loss {then:.3f} and {now:.3f} ({run.metrics_path})",
            f"stop at step {best['step']}, give more text, add dropout, or choose a smaller model",
        )  # fmt: skip


def _training_loss(run: ExaminedRun, step: int) -> float:
    """The training loss around a step: the median of the three logged steps nearest to it."""
    nearest = sorted(run.steps, key=lambda row: abs(row["step"] - step))[:3]
    return median(row["loss"] for row in nearest)


def little_validation(run: ExaminedRun) -> Iterator[Finding]:
    """Validation text too short for its loss to mean anything."""
    if run.validation is not None and len(run.validation) < LEAST_VALIDATION:
        yield Finding(
            "little-validation", "there is too little validation text to judge by",
            f"{len(run.validation):,} tokens, less than {LEAST_VALIDATION:,} ({run.data})",
            "give more text, a larger data.validation_fraction, or files of its own (data.validation)",
        )  # fmt: skip


def validation_in_training(run: ExaminedRun) -> Iterator[Finding]:
    """Places of the validation text whose next `COPIED_TOKENS` tokens stand word for word in the
    training text, in more than a fifth of all: quotations and forms make a few per cent."""
    train, validation = run.train, run.validation
    if not train or not validation or len(validation) < 2 * COPIED_TOKENS:
        return
    share = copied_share(validation, train)
    if share > 0.2:
        losses = run.evaluations[-1:] and run.evaluations[-1].get("val_loss")
        scored = N_(f"; validation loss {losses:.3f}") if losses else ""
        yield Finding(
            "validation-in-training", "validation text stands in the training text",
            f"{share:.0%} of {SAMPLED_PLACES} places of the validation text, {COPIED_TOKENS} tokens "
            f"each, are also training text{scored} ({run.data})",
            "remove the copies (`groundup data report` finds them) or choose other validation files: "
            "until then the validation loss says nothing about new text",
        )  # fmt: skip


def copied_share(of: Tokens, within: Tokens, chunk: int = 1 << 22) -> float:
    """The share of sampled places in `of` whose next `COPIED_TOKENS` ids stand in `within`."""
    places = np.linspace(0, len(of) - COPIED_TOKENS, SAMPLED_PLACES).astype(int)
    wanted = np.concatenate([_rolling(of.read(int(p), int(p) + COPIED_TOKENS)) for p in places])
    distinct = np.unique(wanted)
    found = np.zeros(len(distinct), bool)
    for start in range(0, len(within), chunk):
        hashes = _rolling(within.read(start, min(len(within), start + chunk + COPIED_TOKENS - 1)))
        at = np.searchsorted(distinct, hashes).clip(max=len(distinct) - 1)
        found[at[distinct[at] == hashes]] = True
    return float(found[np.searchsorted(distinct, wanted)].mean())


def _rolling(ids: Int[np.ndarray, " count"]) -> UInt[np.ndarray, " windows"]:
    """A hash of every `COPIED_TOKENS` neighbouring ids, equal for equal ones: the polynomial of Karp
    and Rabin 1987, Σ mixed(id) · base^i modulo 2^64, as a difference of running sums."""
    if len(ids) < COPIED_TOKENS:
        return np.empty(0, np.uint64)
    base, inverse = np.uint64(0x9E3779B97F4A7C15), np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
    with np.errstate(over="ignore"):
        mixed = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(31)
        sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed * _powers(base, len(ids)))])
        windows = sums[COPIED_TOKENS:] - sums[:-COPIED_TOKENS]
        return windows * _powers(inverse, len(windows))


@lru_cache(maxsize=4)
def _powers(base: np.uint64, count: int) -> UInt[np.ndarray, " count"]:
    """base^0, base^1, … modulo 2^64."""
    return np.cumprod(np.concatenate([[np.uint64(1)], np.full(count - 1, base)]))
