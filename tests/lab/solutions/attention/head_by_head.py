import torch


class Attention:
    def forward(self, x, places):
        """Each head attends by itself."""
        x = self.short_conv(x, places, self.layer)

        def heads(joined):
            return torch.stack(joined.split(self.head_dim, dim=-1), dim=1)

        q = self.rotate(self.query_norm(heads(self.query(x))), places)
        k = self.rotate(self.key_norm(heads(self.key(x))), places)
        k, v = places.remember(self.layer, k, heads(self.value(x)), self.window)
        mask = places.mask(k.shape[2], self.window)
        dropout = self.dropout if self.training else 0.0
        group, found = q.shape[1] // k.shape[1], []
        for i in range(q.shape[1]):
            kv = slice(i // group, i // group + 1)
            one = self.attend(q[:, i : i + 1], k[:, kv], v[:, kv], mask, dropout)
            found.append(one.squeeze(1))
        mixed = self.gate(torch.cat(found, dim=-1), x)
        return self.residual_dropout(self.output(mixed))
