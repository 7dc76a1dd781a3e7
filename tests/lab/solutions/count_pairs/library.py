from collections import Counter
from itertools import pairwise


def count_pairs(splits, words):
    counts = Counter()
    for word, ids in splits.items():
        for pair, times in Counter(pairwise(ids)).items():
            counts[pair] += times * words[word]
    return counts
