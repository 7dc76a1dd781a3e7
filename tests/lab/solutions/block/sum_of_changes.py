class PreNormBlock:
    def forward(self, x, places):
        changes = [self.attention(self.attention_norm(x), places)]
        changes.append(self.feed_forward(self.feed_forward_norm(x + changes[0])))
        return x + sum(changes)
