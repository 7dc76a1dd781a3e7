import math

import torch


def gelu_step_by_step(x):
    bent = []
    for number in x.flatten().tolist():
        inner = math.sqrt(2 / math.pi) * (number + 0.044715 * number**3)
        bent.append(number / 2 * (1 + math.tanh(inner)))
    return torch.tensor(bent).reshape(x.shape)
