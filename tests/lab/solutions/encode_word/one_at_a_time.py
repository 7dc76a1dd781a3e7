import math


def encode_word(word, merges):
    ids = list(word)
    while len(ids) > 1:
        tokens = [merges.get((ids[i], ids[i + 1]), math.inf) for i in range(len(ids) - 1)]
        lowest = min(tokens)
        if lowest == math.inf:
            break
        at = tokens.index(lowest)
        ids = [*ids[:at], lowest, *ids[at + 2 :]]
    return ids
