import math

import torch

from groundup.model.attention import attention_weights, causal_mask, share_heads


def attend_step_by_step(q, k, v, mask=None, dropout=0.0, scale=None, softcap=math.inf):
    n_heads, time, total = q.shape[1], q.shape[2], k.shape[2]
    if mask is None:
        mask = causal_mask(time, total, q.device)
    weights = attention_weights(q, share_heads(k, n_heads), mask, scale, softcap)
    weights = torch.nn.Dropout(dropout)(weights)
    return torch.matmul(weights, share_heads(v, n_heads))
