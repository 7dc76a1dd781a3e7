import torch


def causal_mask(time, total, device):
    queries = torch.arange(total - time, total, device=device)
    return torch.arange(total, device=device)[None, :] <= queries[:, None]
