import torch


def last_token(hidden, lengths):
    found = []
    for text, length in zip(hidden, lengths.tolist(), strict=True):
        found.append(text[length - 1])
    return torch.stack(found)
