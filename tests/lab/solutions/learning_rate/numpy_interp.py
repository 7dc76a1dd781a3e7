import numpy as np


def rate(progress, config):
    if progress < config.warmup:
        return float(np.interp(progress, [0, config.warmup], [0, 1]))
    match config.schedule:
        case "cosine":
            half_turn = np.interp(progress, [config.warmup, 1], [0, np.pi])
            height = (np.cos(half_turn) + 1) / 2
        case "inverse-sqrt":
            height = np.sqrt(config.warmup / progress)
        case _:
            height = np.interp(1 - progress, [0, config.decay], [0, 1]) if config.decay else 1
    return float(config.final_rate * (1 - height) + height)
