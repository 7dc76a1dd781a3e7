import math

import torch
import torch.nn.functional as F


def attend_step_by_step(q, k, v, mask=None, dropout=0.0, scale=None, softcap=math.inf):
    batch, heads, time, head_dim = q.shape
    total, group = k.shape[2], heads // k.shape[1]
    scale = head_dim**-0.5 if scale is None else scale
    if mask is None:
        mask = torch.ones(time, total, dtype=torch.bool).tril(total - time)
    mask = mask.expand(batch, heads, time, total)
    mixed = torch.zeros(batch, heads, time, v.shape[-1])
    for b in range(batch):
        for h in range(heads):
            for i in range(time):
                scores = k[b, h // group] @ q[b, h, i] * scale
                if softcap < math.inf:
                    scores = softcap * torch.tanh(scores / softcap)
                scores[~mask[b, h, i]] = -math.inf
                mixed[b, h, i] = F.dropout(scores.softmax(0), dropout) @ v[b, h // group]
    return mixed
