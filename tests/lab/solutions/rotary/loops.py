import torch


def rotate_step_by_step(x, positions, frequency):
    half = len(frequency)
    turned = x.clone()
    for t, position in enumerate(positions):
        for i in range(half):
            angle = position * frequency[i]
            a, b = x[..., t, i], x[..., t, i + half]
            turned[..., t, i] = a * torch.cos(angle) - b * torch.sin(angle)
            turned[..., t, i + half] = a * torch.sin(angle) + b * torch.cos(angle)
    return turned
