import torch
from torch import nn


def clip_gradients_step_by_step(gradients, longest):
    parameters = [nn.Parameter(torch.empty_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return nn.utils.clip_grad_norm_(parameters, longest).item()
