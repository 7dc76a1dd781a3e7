import torch


def clip_gradients_step_by_step(gradients, longest):
    norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients])).item()
    if norm <= longest:
        return norm
    for gradient in gradients:
        gradient.copy_(gradient / norm * longest)
    return norm
