import math

import torch

from groundup.errors import TrainingError
from groundup.train.loop import accumulate
from groundup.train.schedules import rate


def train_step(run, batches, objective):
    share = run.rate = rate(run.progress, run.config)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            peak = group.setdefault("peak_lr", optimizer.defaults["lr"])
            group["lr"] = peak * share
    accumulate(run, batches, objective)
    norm = torch.nn.utils.clip_grad_norm_(run.trained, run.config.clip_norm)
    run.gradient_norm = norm.item()
    if not (math.isfinite(run.loss) and math.isfinite(run.gradient_norm)):
        raise TrainingError("no number", "here", "lower the learning rate")
    for optimizer in run.optimizers:
        optimizer.step()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
    run.state.step += 1
