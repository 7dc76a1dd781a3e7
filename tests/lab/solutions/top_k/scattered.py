import torch


def keep_top_k(logits, k):
    best = logits.topk(min(k, logits.shape[1]), dim=1)
    kept = torch.full_like(logits, -torch.inf)
    return kept.scatter(1, best.indices, best.values)
