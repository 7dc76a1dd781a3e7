"""A pass that keeps less, or takes fewer steps: checkpointing of activations, and compiled blocks."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from groundup.model.gpt import GPT
from groundup.model.places import Places
from groundup.model.positions import Rotary
from groundup.train.config import ParallelConfig

# What selective checkpointing keeps: the results that took most work.
PRODUCTS = {
    torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.mkldnn._linear_pointwise.default,
}  # fmt: skip


def lighten(model: GPT, config: ParallelConfig) -> None:
    """Let every block keep what `config.checkpointing` says, and compile it if it is to be, in place."""
    for block in model.blocks:
        if config.checkpointing != "none":
            _recompute(block, config.checkpointing)
        if config.compile:
            _compile(block)


def _recompute(block: nn.Module, kind: str) -> None:
    """Let a block forget what it computed, and compute it once more on the way back."""
    from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

    options: dict[str, Any] = {"use_reentrant": False}
    if kind == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, list(PRODUCTS))
    forward = block.forward

    def forgetful(*given: Any) -> Any:
        return (
            checkpoint(forward, *given, **options) if torch.is_grad_enabled() else forward(*given)
        )

    block.forward = forgetful


def _compile(block: Any) -> None:
    """Let a block's forward pass be compiled."""
    compiled = torch.compile(block.forward)

    def forward(x: Tensor, places: Places) -> Tensor:
        # What all blocks share is made before, and only looked up in what is compiled.
        if isinstance(rotate := block.attention.rotate, Rotary):
            places.turn(rotate)
        places.mask(places.time, getattr(block.attention, "window", None))
        return compiled(x, places)

    block.forward = forward
