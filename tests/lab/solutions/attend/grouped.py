import math

import torch
import torch.nn.functional as F


def attend_step_by_step(q, k, v, mask=None, dropout=0.0, scale=None, softcap=math.inf):
    """Without copies of keys and values: the queries of a group are an axis of their own."""
    batch, heads, time, head_dim = q.shape
    kv_heads, total = k.shape[1:3]
    q = q.reshape(batch, kv_heads, heads // kv_heads, time, head_dim)
    scores = torch.einsum("bngqd,bnkd->bngqk", q, k)
    scores = scores * (1 / math.sqrt(head_dim) if scale is None else scale)
    if softcap < math.inf:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.reshape(batch, heads, time, total)
    if mask is None:
        own = torch.arange(total - time, total)[:, None]
        mask = torch.arange(total) <= own
    weights = F.dropout(torch.softmax(scores.masked_fill(~mask, float("-inf")), -1), p=dropout)
    weights = weights.reshape(batch, kv_heads, heads // kv_heads, time, total)
    return torch.einsum("bngqk,bnkd->bngqd", weights, v).flatten(1, 2)
