import torch


def group_advantages(rewards, divide_by_spread):
    spread, mean = torch.std_mean(rewards, dim=-1, keepdim=True)
    return (rewards - mean) / (spread + 1e-4 if divide_by_spread else 1)
