from groundup.generation.sampling import (
    COLDEST,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
)


def choose(logits, past, sampling, generators):
    logits = penalize_repetition(logits, past, sampling.repetition_penalty)
    if sampling.temperature >= COLDEST:
        logits = logits.div(sampling.temperature)
        if k := sampling.top_k:
            logits = keep_top_k(logits, k)
        if (p := sampling.top_p) and p < 1:
            logits = keep_top_p(logits, p)
        if sampling.min_p:
            logits = keep_min_p(logits, sampling.min_p)
        probabilities = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
        return draw(probabilities, generators)
    return logits.max(dim=1).indices
