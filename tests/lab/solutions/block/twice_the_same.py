class PreNormBlock:
    def forward(self, x, places):
        parts = (
            (self.attention_norm, lambda normed: self.attention(normed, places)),
            (self.feed_forward_norm, self.feed_forward),
        )
        for norm, part in parts:
            x = x + part(norm(x))
        return x
