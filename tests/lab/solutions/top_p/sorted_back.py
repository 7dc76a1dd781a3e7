import torch


def keep_top_p(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    shares = ordered.softmax(-1)
    ordered = ordered.masked_fill(shares.cumsum(-1) - shares >= p, -torch.inf)
    return ordered.gather(-1, order.argsort(-1))
