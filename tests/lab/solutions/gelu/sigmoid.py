import math

import torch


def gelu_step_by_step(x):
    """(1 + tanh(z)) / 2 is sigmoid(2 z)."""
    z = (2 / math.pi) ** 0.5 * x * (1 + 0.044715 * x.square())
    return x * torch.sigmoid(2 * z)
