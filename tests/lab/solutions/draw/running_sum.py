import torch


def draw(probabilities, generators):
    us = torch.stack([torch.rand(1, generator=generator) for generator in generators])
    reached = probabilities.cumsum(-1) > us
    # Rounding may leave the last sum a little below 1.
    return torch.where(reached.any(-1), reached.int().argmax(-1), probabilities.argmax(-1))
