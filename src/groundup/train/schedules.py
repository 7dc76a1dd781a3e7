"""Learning-rate schedules: functions from progress in [0, 1] to a share of the peak rate."""

import math

from groundup.train.config import TrainConfig


# lab: learning_rate
def rate(progress: float, config: TrainConfig) -> float:
    """The share of the peak rate at `progress` (0 at the start of training, 1 at its end).

    Before `config.warmup` it rises in a line from 0 to 1. After it, it is final_rate +
    (1 − final_rate) · height, and the height depends on `config.schedule`:

    - "cosine": half a wave, from 1 at the end of the warm-up to 0 at the end of training;
    - "inverse-sqrt": √(warmup / progress);
    - "wsd": 1, until in the last `config.decay` of the training it falls in a line to 0.

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
