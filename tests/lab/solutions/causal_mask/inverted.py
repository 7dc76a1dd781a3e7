import torch


def causal_mask(time, total, device):
    ahead = torch.triu(torch.ones(time, total, device=device), diagonal=total - time + 1)
    return ahead == 0
