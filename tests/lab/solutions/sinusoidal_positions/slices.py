import torch


def sinusoidal_positions(length, d_model, theta):
    even = d_model + d_model % 2
    position = torch.arange(length).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, even, 2) * (-torch.log(torch.tensor(theta)) / even))
    table = torch.empty(length, even)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table[:, :d_model]
