import torch


def layer_norm_step_by_step(x, weight, bias, epsilon):
    width = len(weight)
    rows = []
    for row in x.reshape(-1, width):
        mean = sum(row) / width
        variance = sum((number - mean) ** 2 for number in row) / width
        rows.append(torch.stack([(number - mean) / (variance + epsilon) ** 0.5 for number in row]))
    y = torch.stack(rows).reshape(x.shape) * weight
    return y if bias is None else y + bias
