import torch


def group_advantages(rewards, divide_by_spread):
    groups = []
    for group in rewards:
        n = len(group)
        mean = group.sum() / n
        advantages = group - mean
        if divide_by_spread:
            variance = advantages.pow(2).sum() / (n - 1)
            advantages = advantages / (variance.sqrt() + 1e-4)
        groups.append(advantages)
    return torch.stack(groups)
