import torch


def keep_top_k(logits, k):
    ahead = (logits[:, None, :] > logits[:, :, None]).sum(-1)
    return torch.where(ahead < k, logits, -torch.inf)
