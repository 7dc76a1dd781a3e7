import torch


def split_heads(x, head_dim):
    return torch.stack(x.split(head_dim, dim=-1), dim=1)
