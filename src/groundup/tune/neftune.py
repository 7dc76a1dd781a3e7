"""NEFTune: noise on the embeddings while a model is tuned, so that it learns less of the wording of its
examples by heart (Jain et al. 2023, https://arxiv.org/abs/2310.05914)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from groundup.model.gpt import GPT


def add_noise(model: GPT, alpha: float) -> RemovableHandle:
    """Let each embedding of `model` be moved, while it trains, by evenly spread noise of up to
    α / √(time · d_model) in each direction: a vector as long as before, whatever the sizes. The paper
    tries α of 5, 10 and 15. The handle's `remove` takes the noise away.

    `time` is the length of a row, so that texts that share one are moved less than each alone."""

    def moved(
        embedding: nn.Module, ids: tuple[Tensor], embedded: Float[Tensor, "batch time d_model"]
    ) -> Float[Tensor, "batch time d_model"]:
        if not embedding.training:
            return embedded
        size = alpha / math.sqrt(embedded.shape[-2] * embedded.shape[-1])
        return embedded + torch.empty_like(embedded).uniform_(-size, size)

    return model.embedding.register_forward_hook(moved)
