import math

import torch


def sinusoidal_positions(length, d_model, theta):
    width = d_model + d_model % 2
    table = torch.zeros(length, width)
    for p in range(length):
        for i in range(width // 2):
            angle = p / theta ** (2 * i / width)
            table[p, 2 * i] = math.sin(angle)
            table[p, 2 * i + 1] = math.cos(angle)
    return table[:, :d_model]
