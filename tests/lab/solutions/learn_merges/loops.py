from groundup.tokenizer.bpe import is_allowed


def learn_merges_simply(words, n_merges):
    tokens = {i: bytes([i]) for i in range(256)}
    splits = [(list(word), count) for word, count in words.items()]
    merges = []
    for new in range(256, 256 + n_merges):
        counts = {}
        for ids, count in splits:
            for left, right in zip(ids, ids[1:], strict=False):
                if is_allowed(tokens[left] + tokens[right]):
                    counts[left, right] = counts.get((left, right), 0) + count
        if not counts:
            break
        most = max(counts.values())
        best = min(pair for pair, count in counts.items() if count == most)
        for ids, _ in splits:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [new]
                i += 1
        tokens[new] = tokens[best[0]] + tokens[best[1]]
        merges.append(best)
    return merges
