import torch


def lowest(scores, count):
    mask = torch.ones_like(scores, dtype=torch.bool)
    stay = torch.topk(scores, scores.shape[1] - count, dim=1).indices
    rows = torch.arange(len(scores))[:, None]
    mask[rows, stay] = False
    return mask
