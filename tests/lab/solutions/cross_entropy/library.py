import torch.nn.functional as F


def cross_entropy_step_by_step(logits, targets):
    return F.cross_entropy(logits, targets)
