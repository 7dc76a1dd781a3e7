from groundup.model.attention import Attention as Original


class Attention(Original):
    def forward(self, x, places):
        x = self.short_conv(x, places, self.layer)
        batch, time, _ = x.shape
        q = self.query(x).view(batch, time, -1, self.head_dim).permute(0, 2, 1, 3)
        k = self.key(x).view(batch, time, -1, self.head_dim).permute(0, 2, 1, 3)
        v = self.value(x).view(batch, time, -1, self.head_dim).permute(0, 2, 1, 3)
        q = self.rotate(self.query_norm(q), places)
        k = self.rotate(self.key_norm(k), places)
        k, v = places.remember(self.layer, k, v, self.window)
        dropout = self.dropout if self.training else 0.0
        mixed = self.attend(q, k, v, places.mask(k.size(2), self.window), dropout)
        mixed = mixed.permute(0, 2, 1, 3).reshape(batch, time, -1)
        return self.residual_dropout(self.output(self.gate(mixed, x)))
