import torch.nn.functional as F


def layer_norm_step_by_step(x, weight, bias, epsilon):
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)
