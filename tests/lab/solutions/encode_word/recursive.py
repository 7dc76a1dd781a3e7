from itertools import pairwise

from groundup.tokenizer.bpe import merge


def encode_word(word, merges):
    found = sorted((merges[pair], pair) for pair in pairwise(word) if pair in merges)
    if not found:
        return list(word)
    token, pair = found[0]
    return encode_word(merge(list(word), pair, token), merges)
