import torch


def layer_norm_step_by_step(x, weight, bias, epsilon):
    variance, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
    y = (x - mean) * torch.rsqrt(variance + epsilon) * weight
    if bias is not None:
        y = y + bias
    return y
