import torch

from groundup.model.attention import split_heads


class Attention:
    def forward(self, x, places):
        x = self.short_conv(x, places, self.layer)
        q = self.query_norm(split_heads(self.query(x), self.head_dim))
        k = self.key_norm(split_heads(self.key(x), self.head_dim))
        v = split_heads(self.value(x), self.head_dim)
        q, k = self.rotate(q, places), self.rotate(k, places)
        k, v = places.remember(self.layer, k, v, self.window)
        mask = places.mask(k.shape[2], self.window)
        mixed = self.attend(q, k, v, mask, self.training * self.dropout)
        joined = torch.cat([mixed[:, head] for head in range(mixed.shape[1])], dim=-1)
        return self.residual_dropout(self.output(self.gate(joined, x)))
