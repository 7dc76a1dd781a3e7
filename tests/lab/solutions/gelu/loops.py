import math

import torch


def gelu_step_by_step(x):
    bent = []
    for number in x.flatten():
        inner = math.sqrt(2 / math.pi) * (number + 0.044715 * number**3)
        bent.append(number / 2 * (1 + torch.tanh(inner)))
    return torch.stack(bent).reshape(x.shape)
