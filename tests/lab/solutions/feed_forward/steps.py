class FeedForward:
    def forward(self, x):
        wide = self.up(x)
        bent = self.activation(wide)
        return self.dropout(self.down(bent))
