import math

import torch


def attention_weights(q, k, mask, scale=None, softcap=math.inf):
    batch, heads, time, head_dim = q.shape
    total = k.shape[2]
    scale = head_dim**-0.5 if scale is None else scale
    mask = mask.expand(batch, heads, time, total)
    weights = torch.zeros(batch, heads, time, total)
    for b in range(batch):
        for h in range(heads):
            for i in range(time):
                seen = mask[b, h, i].nonzero()[:, 0]
                scores = torch.stack([q[b, h, i] @ k[b, h, j] * scale for j in seen])
                if softcap < math.inf:
                    scores = softcap * torch.tanh(scores / softcap)
                weights[b, h, i, seen] = scores.softmax(0)
    return weights
