import torch
import torch.nn.functional as F


def dpo(chosen, rejected, beta, label_smoothing=0.0):
    """A classifier with two classes, chosen and rejected."""
    wanted = torch.full_like(chosen, 1 - label_smoothing)
    return F.binary_cross_entropy_with_logits(beta * (chosen - rejected), wanted)
