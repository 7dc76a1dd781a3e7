import torch


def split_heads(x, head_dim):
    batch, time, width = x.shape
    heads = torch.empty(batch, width // head_dim, time, head_dim)
    for head in range(width // head_dim):
        for t in range(time):
            heads[:, head, t] = x[:, t, head * head_dim : (head + 1) * head_dim]
    return heads
