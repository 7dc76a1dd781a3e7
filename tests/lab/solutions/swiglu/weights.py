import torch.nn.functional as F


class SwiGLU:
    def forward(self, x):
        gate = F.linear(x, self.gate.weight, self.gate.bias)
        up = F.linear(x, self.up.weight, self.up.bias)
        y = F.linear(up * self.activation(gate), self.down.weight, self.down.bias)
        return F.dropout(y, self.dropout.p, self.training)
