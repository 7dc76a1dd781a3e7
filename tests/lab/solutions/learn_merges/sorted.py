from groundup.tokenizer.bpe import count_pairs, is_allowed, merge


def learn_merges_simply(words, n_merges):
    merges = []
    tokens = [bytes([byte]) for byte in range(256)]
    splits = {word: list(word) for word in words}
    for _ in range(n_merges):
        ordered = sorted(count_pairs(splits, words).items(), key=lambda item: (-item[1], item[0]))
        best = next(
            ((a, b) for (a, b), _ in ordered if is_allowed(tokens[a] + tokens[b])),
            None,
        )
        if best is None:
            return merges
        for word in splits:
            splits[word] = merge(splits[word], best, len(tokens))
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
    return merges
