"""Learning-rate schedules: functions from progress in [0, 1] to a share of the peak rate."""

import math

from groundup.train.config import TrainConfig


def rate(progress: float, config: TrainConfig) -> float:
    """The share of the peak rate at `progress` (0 at the start of training, 1 at its end).

    Being a function of progress rather than of the step, the same schedule serves a number of steps
    and a budget of minutes.
    """
    if progress < config.warmup:
        return progress / config.warmup
    if config.schedule == "cosine":
        fall = (progress - config.warmup) / (1 - config.warmup)
        height = 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))
    elif config.schedule == "inverse-sqrt":
        height = math.sqrt(config.warmup / progress)
    else:
        left = max(0.0, 1 - progress)
        height = min(1.0, left / config.decay) if config.decay else 1.0
    return config.final_rate + (1 - config.final_rate) * height
