import torch


def causal_mask(time, total, device):
    mask = torch.zeros(time, total, dtype=torch.bool, device=device)
    for i in range(time):
        for j in range(total):
            mask[i, j] = j <= total - time + i
    return mask
