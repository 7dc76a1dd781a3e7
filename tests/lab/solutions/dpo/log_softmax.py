import torch


def dpo(chosen, rejected, beta, label_smoothing=0.0):
    both = (beta * torch.stack([chosen, rejected], dim=-1)).log_softmax(-1)
    loss = 0.0
    for right, wrong in both:
        loss = loss - (1 - label_smoothing) * right - label_smoothing * wrong
    return loss / len(both)
