import math


def adamw_step_by_step(
    parameter, gradient, mean, square, step, learning_rate, betas, weight_decay, epsilon=1e-8
):
    flat = [x.view(-1) for x in (parameter, gradient, mean, square)]
    for i in range(parameter.numel()):
        p, g, m, s = (x[i].item() for x in flat)
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * g * g
        likely_m, likely_s = m / (1 - betas[0] ** step), s / (1 - betas[1] ** step)
        p -= learning_rate * (likely_m / (math.sqrt(likely_s) + epsilon) + weight_decay * p)
        flat[0][i], flat[2][i], flat[3][i] = p, m, s
