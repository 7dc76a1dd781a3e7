import numpy as np


def windows_step_by_step(ids, context_length):
    windows = []
    inputs, targets = [], []
    for t in range(len(ids) - 1):
        inputs.append(ids[t])
        targets.append(ids[t + 1])
        if len(inputs) == context_length:
            windows.append((np.array(inputs), np.array(targets)))
            inputs, targets = [], []
    if inputs:
        windows.append((np.array(inputs), np.array(targets)))
    return windows
