import torch


def rotate_step_by_step(x, positions, frequency):
    """As in Hugging Face's models: x · cos + rotate_half(x) · sin."""
    half = frequency.shape[0]
    x, rest = x.split([2 * half, x.shape[-1] - 2 * half], dim=-1)
    angle = (positions.unsqueeze(-1) * frequency).repeat(1, 2)
    first, second = x.chunk(2, dim=-1)
    turned = x * angle.cos() + torch.cat((-second, first), dim=-1) * angle.sin()
    return torch.cat((turned, rest), dim=-1)
