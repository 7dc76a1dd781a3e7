import torch

from groundup.generation.sampling import COLDEST, draw, keep_min_p, keep_top_k, keep_top_p


def choose(logits, past, sampling, generators):
    penalized = logits.clone()
    for row, used in enumerate(past):
        for token in used.unique():
            x = logits[row, token]
            factor = sampling.repetition_penalty
            penalized[row, token] = x / factor if x > 0 else x * factor
    if sampling.temperature < COLDEST:
        return penalized.argmax(-1)
    steps = [
        (keep_top_k, sampling.top_k), (keep_top_p, sampling.top_p), (keep_min_p, sampling.min_p),
    ]  # fmt: skip
    x = penalized / sampling.temperature
    for keep, setting in steps:
        if setting is not None:
            x = keep(x, setting)
    return draw(torch.softmax(x, dim=-1), generators)
