import torch.nn.functional as F


def dpo(chosen, rejected, beta, label_smoothing=0.0):
    h = beta * (chosen - rejected)
    losses = (1 - label_smoothing) * F.softplus(-h) + label_smoothing * F.softplus(h)
    return losses.mean()
