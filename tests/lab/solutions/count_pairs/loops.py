def count_pairs(splits, words):
    counts = {}
    for word in splits:
        ids = splits[word]
        for i in range(len(ids) - 1):
            pair = (ids[i], ids[i + 1])
            counts[pair] = counts.get(pair, 0) + words[word]
    return counts
