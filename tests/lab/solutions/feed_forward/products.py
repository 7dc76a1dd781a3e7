class FeedForward:
    def forward(self, x):
        wide = x @ self.up.weight.T
        if self.up.bias is not None:
            wide = wide + self.up.bias
        y = self.activation(wide) @ self.down.weight.T
        if self.down.bias is not None:
            y = y + self.down.bias
        return self.dropout(y)
