"""All patterns of pruning by their names."""

from collections.abc import Callable
from dataclasses import dataclass

from groundup.compress.config import PruneConfig
from groundup.compress.masks import (
    Masks,
    Within,
    apply_masks,
    choose,
    magnitudes,
    pruned_share,
    wanda_scores,
)
from groundup.compress.structured import Windows, remove_columns, remove_heads, remove_layers
from groundup.errors import InputError
from groundup.model.gpt import GPT

WITHIN: dict[str, Within] = {
    "magnitude": "model", "magnitude-layer": "matrix", "wanda": "row", "2:4": "2:4",
    "2:4-wanda": "2:4",
}  # fmt: skip
"""Patterns of single weights, and within what the lowest scores go."""
REMOVE: dict[str, Callable[[GPT, float, Windows], GPT]] = {
    "heads": remove_heads, "columns": remove_columns, "layers": remove_layers,
}  # fmt: skip
SIZES = {"heads": "n_heads", "columns": "d_ff", "layers": "n_layers"}


@dataclass(frozen=True)
class Pruned:
    """A pruned model."""

    model: GPT
    masks: Masks
    """Which single weights stay, where it is they that went; else empty."""
    sparsity: float
    """The share that really went, of weights, heads, columns or layers."""


def needs_text(pattern: str) -> bool:
    """Whether what goes is chosen by what the model does with a text."""
    return pattern in REMOVE or pattern.endswith("wanda")


def prune(model: GPT, config: PruneConfig, windows: Windows) -> Pruned:
    """Take from `model` what `config` says; single weights in place. `windows` of token ids are what the
    choice looks at, where it needs them.

    Raises `InputError` for a pattern that does not fit the model, and where it needs text and there is
    none.
    """
    if needs_text(config.pattern) and not windows:
        raise InputError(
            f"the pattern {config.pattern} looks at what the model does with a text, and there is none",
            None, "give some with --calibration or --recover, or use magnitude or 2:4",
        )  # fmt: skip
    if config.pattern in REMOVE:
        smaller = REMOVE[config.pattern](model, config.sparsity, windows)
        before, after = (getattr(m.config, SIZES[config.pattern]) for m in (model, smaller))
        return Pruned(smaller, {}, 1 - after / before)
    if config.pattern.startswith("2:4") and config.sparsity != 0.5:
        raise InputError(
            f"2:4 takes half of the weights, not {config.sparsity:.4g}", "sparsity",
            "leave it out, or use magnitude or wanda",
        )  # fmt: skip
    by_text = needs_text(config.pattern)
    scores = wanda_scores(model, windows) if by_text else magnitudes(model)
    masks = choose(scores, config.sparsity, WITHIN[config.pattern])
    apply_masks(model, masks)
    return Pruned(model, masks, pruned_share(masks))
