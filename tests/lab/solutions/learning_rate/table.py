import math


def cosine(progress, config):
    done = min(1.0, (progress - config.warmup) / (1.0 - config.warmup))
    return math.cos(done * math.pi / 2) ** 2


def wsd(progress, config):
    falls_from = 1 - config.decay
    if not config.decay or progress < falls_from:
        return 1.0
    return max(0.0, 1 - (progress - falls_from) / config.decay)


def inverse_sqrt(progress, config):
    return config.warmup**0.5 * progress**-0.5


HEIGHTS = {"cosine": cosine, "wsd": wsd, "inverse-sqrt": inverse_sqrt}


def rate(progress, config):
    if progress < config.warmup:
        return progress / config.warmup
    height = HEIGHTS[config.schedule](progress, config)
    return height + config.final_rate * (1 - height)
