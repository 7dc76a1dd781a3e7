import torch


@torch.no_grad()
def adamw_step_by_step(
    parameter, gradient, mean, square, step, learning_rate, betas, weight_decay, epsilon=1e-8
):
    """The corrections are put into the rate and the divisor, as PyTorch does it."""
    b1, b2 = betas
    mean.mul_(b1).add_(gradient, alpha=1 - b1)
    square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
    divisor = (square.sqrt() / (1 - b2**step) ** 0.5).add_(epsilon)
    parameter.mul_(1 - learning_rate * weight_decay)
    parameter.addcdiv_(mean, divisor, value=-learning_rate / (1 - b1**step))
