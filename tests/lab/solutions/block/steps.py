class PreNormBlock:
    def forward(self, x, places):
        normed = self.attention_norm(x)
        attended = self.attention(normed, places)
        stream = x + attended
        normed = self.feed_forward_norm(stream)
        thought = self.feed_forward(normed)
        return stream + thought
