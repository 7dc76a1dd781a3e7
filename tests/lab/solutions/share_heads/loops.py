import torch


def share_heads(x, n_heads):
    group = n_heads // x.shape[1]
    return torch.stack([x[:, head // group] for head in range(n_heads)], dim=1)
