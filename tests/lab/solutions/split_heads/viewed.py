def split_heads(x, head_dim):
    batch, time, width = x.shape
    return x.view(batch, time, width // head_dim, head_dim).permute(0, 2, 1, 3)
