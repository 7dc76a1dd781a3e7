import torch


def rotate_step_by_step(x, positions, frequency):
    half = len(frequency)
    angle = torch.outer(positions.to(frequency.dtype), frequency)
    points = torch.complex(x[..., :half], x[..., half : 2 * half])
    points = points * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([points.real, points.imag, x[..., 2 * half :]], dim=-1)
