import torch
from torch.nn.utils.rnn import pad_sequence


def ending_together(texts):
    backwards = pad_sequence([torch.tensor(text[::-1]) for text in texts], True, -1)
    firsts = torch.tensor([text[0] for text in texts])[:, None]
    return torch.where(backwards == -1, firsts, backwards).flip(1)
