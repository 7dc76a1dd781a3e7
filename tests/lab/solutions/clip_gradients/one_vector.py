import torch


def clip_gradients_step_by_step(gradients, longest):
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    factor = min(1.0, longest / (norm + 1e-12))
    for gradient in gradients:
        gradient *= factor
    return norm
