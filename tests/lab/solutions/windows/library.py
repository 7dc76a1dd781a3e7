import numpy as np


def windows_step_by_step(ids, context_length):
    cuts = np.arange(context_length, len(ids) - 1, context_length)
    inputs, targets = np.split(ids[:-1], cuts), np.split(ids[1:], cuts)
    return [pair for pair in zip(inputs, targets, strict=True) if len(pair[0])]
