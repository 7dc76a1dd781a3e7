import math


def rate(progress, config):
    peak_share = 1 - config.final_rate
    if config.warmup > 0 and progress <= config.warmup:
        return progress / config.warmup
    if config.schedule == "inverse-sqrt":
        return config.final_rate + peak_share * (config.warmup / progress) ** 0.5
    left = max(0.0, 1.0 - progress)
    if config.schedule == "cosine":
        angle = math.pi * left / (1 - config.warmup)
        return config.final_rate + peak_share * (1 - math.cos(angle)) / 2
    if config.decay == 0 or left >= config.decay:
        return 1.0
    return config.final_rate + peak_share * left / config.decay
