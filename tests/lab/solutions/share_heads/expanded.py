def share_heads(x, n_heads):
    batch, kv_heads, total, head_dim = x.shape
    copies = x[:, :, None].expand(batch, kv_heads, n_heads // kv_heads, total, head_dim)
    return copies.reshape(batch, n_heads, total, head_dim)
