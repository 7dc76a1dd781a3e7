import math

import torch
from torch import nn


class Lora(nn.Module):
    def __init__(self, base, rank, alpha, dropout, rslora):
        super().__init__()
        self.rank = rank
        self.alpha = alpha
        self.rslora = rslora
        self.s = alpha / math.sqrt(rank) if rslora else alpha / rank
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.drop = nn.Dropout(dropout)

    def forward(self, x, plain, base):
        return plain + self.drop(x) @ self.a.T @ self.b.T * self.s

    def merged(self, weight):
        return weight + self.s * (self.b @ self.a)
