import math

import torch


def layer_norm_step_by_step(x, weight, bias, epsilon):
    width = len(weight)
    rows = []
    for row in x.reshape(-1, width).tolist():
        mean = sum(row) / width
        variance = sum((number - mean) ** 2 for number in row) / width
        rows.append([(number - mean) / math.sqrt(variance + epsilon) for number in row])
    y = torch.tensor(rows).reshape(x.shape) * weight
    return y if bias is None else y + bias
