import torch

from groundup.generation import sampling as parts


def choose(logits, past, sampling, generators):
    """Each row by itself."""
    chosen = []
    for i in range(len(logits)):
        row = logits[i : i + 1]
        if sampling.repetition_penalty != 1:
            row = parts.penalize_repetition(row, past[i : i + 1], sampling.repetition_penalty)
        if sampling.temperature < parts.COLDEST:
            chosen.append(row.argmax().reshape(1))
            continue
        row = row * (1 / sampling.temperature)
        if sampling.top_k is not None:
            row = parts.keep_top_k(row, sampling.top_k)
        if sampling.top_p is not None and sampling.top_p < 1:
            row = parts.keep_top_p(row, sampling.top_p)
        if sampling.min_p is not None:
            row = parts.keep_min_p(row, sampling.min_p)
        chosen.append(parts.draw(row.softmax(-1), [generators[i]]))
    return torch.cat(chosen)
