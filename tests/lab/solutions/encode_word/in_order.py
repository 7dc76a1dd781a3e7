from groundup.tokenizer.bpe import merge


def encode_word(word, merges):
    # A merge makes tokens that only later merges know: one pass through all of them is enough.
    ids = list(word)
    for pair, token in merges.items():
        ids = merge(ids, pair, token)
    return ids
