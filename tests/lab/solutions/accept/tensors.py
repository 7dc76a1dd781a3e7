import torch


def accept_step_by_step(guesses, said):
    same = torch.tensor(guesses, dtype=torch.long) == torch.tensor(said[:-1], dtype=torch.long)
    right = int(same.long().cumprod(0).sum())
    return said[: right + 1]
