import torch
import torch.nn.functional as F
from torch import nn


class Lora(nn.Module):
    def __init__(self, base, rank, alpha, dropout, rslora):
        super().__init__()
        self.rank, self.alpha, self.rslora = rank, alpha, rslora
        self.a = nn.Parameter(nn.Linear(base.in_features, rank, bias=False).weight.detach().clone())
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.dropout = nn.Dropout(dropout)

    def change(self):
        divisor = self.rank**0.5 if self.rslora else self.rank
        return self.alpha / divisor * self.b @ self.a

    def forward(self, x, plain, base):
        return plain + F.linear(self.dropout(x), self.change())

    def merged(self, weight):
        return weight + self.change()
