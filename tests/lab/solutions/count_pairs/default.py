from collections import defaultdict


def count_pairs(splits, words):
    counts = defaultdict(int)
    for word, count in words.items():
        left = None
        for right in splits[word]:
            if left is not None:
                counts[left, right] += count
            left = right
    return counts
