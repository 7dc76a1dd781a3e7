import torch


def rms_norm_step_by_step(x, weight, epsilon):
    width = len(weight)
    rows = []
    for row in x.reshape(-1, width):
        square = sum(number**2 for number in row) / width
        rows.append(row / (square + epsilon) ** 0.5)
    return torch.stack(rows).reshape(x.shape) * weight
