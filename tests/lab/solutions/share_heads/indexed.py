import torch


def share_heads(x, n_heads):
    group = n_heads // x.shape[1]
    return x[:, torch.arange(n_heads) // group]
