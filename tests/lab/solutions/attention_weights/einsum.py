import math

import torch


def attention_weights(q, k, mask, scale=None, softcap=math.inf):
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = torch.einsum("bhqd,bhkd->bhqk", q * scale, k)
    if math.isfinite(softcap):
        scores = torch.tanh(scores / softcap) * softcap
    return torch.softmax(torch.where(mask, scores, float("-inf")), dim=3)
