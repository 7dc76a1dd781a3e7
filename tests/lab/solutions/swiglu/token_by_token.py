import torch


class SwiGLU:
    def forward(self, x):
        made = []
        for token in x.reshape(-1, x.shape[-1]).split(1):
            gates = self.activation(self.gate(token))[0]
            inner = torch.stack([g * u for g, u in zip(gates, self.up(token)[0], strict=True)])
            made.append(self.down(inner[None])[0])
        return self.dropout(torch.stack(made).reshape(x.shape))
