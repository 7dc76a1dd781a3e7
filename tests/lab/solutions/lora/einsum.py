import torch
import torch.nn.functional as F
from torch import nn


class Lora(nn.Module):
    def __init__(self, base, rank, alpha, dropout, rslora):
        super().__init__()
        self.rank, self.alpha, self.rslora, self.dropout = rank, alpha, rslora, dropout
        self.a = nn.Parameter(torch.empty(rank, base.in_features).uniform_(-0.1, 0.1))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    @property
    def scale(self):
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)

    def forward(self, x, plain, base):
        x = F.dropout(x, self.dropout, self.training)
        return plain + self.scale * torch.einsum("...i,ri,or->...o", x, self.a, self.b)

    def merged(self, weight):
        return weight + self.scale * torch.einsum("ri,or->oi", self.a, self.b)
