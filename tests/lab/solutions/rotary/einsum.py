import torch


def rotate_step_by_step(x, positions, frequency):
    half = len(frequency)
    angle = positions[:, None] * frequency
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrices = torch.stack(
        [torch.stack([cos, -sin]), torch.stack([sin, cos])]
    )  # (2, 2, time, half)
    pairs = x[..., : 2 * half].unflatten(-1, (2, half))
    turned = torch.einsum("ijtf,bhtjf->bhtif", matrices, pairs).flatten(-2)
    return torch.cat([turned, x[..., 2 * half :]], dim=-1)
