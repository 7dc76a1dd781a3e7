import torch


def draw(probabilities, generators):
    pairs = zip(probabilities, generators, strict=True)
    return torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in pairs])
