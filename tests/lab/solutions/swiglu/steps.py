class SwiGLU:
    def forward(self, x):
        gate = self.activation(self.gate(x))
        values = self.up(x)
        y = self.down(gate * values)
        return self.dropout(y)
