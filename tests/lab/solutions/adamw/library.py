import torch
from torch import nn


def adamw_step_by_step(
    parameter, gradient, mean, square, step, learning_rate, betas, weight_decay, epsilon=1e-8
):
    moved = nn.Parameter(parameter.clone())
    moved.grad = gradient.clone()
    optimizer = torch.optim.AdamW(
        [moved], lr=learning_rate, betas=betas, eps=epsilon, weight_decay=weight_decay
    )
    optimizer.state[moved] = {
        "step": torch.tensor(float(step - 1)), "exp_avg": mean, "exp_avg_sq": square,
    }  # fmt: skip
    optimizer.step()
    parameter.copy_(moved.detach())
