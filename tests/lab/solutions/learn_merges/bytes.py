from collections import Counter

from groundup.tokenizer.bpe import is_allowed


def learn_merges_simply(words, n_merges):
    """Words as tuples of the tokens' bytes; ids come in only at the end."""
    id_of = {bytes([byte]): byte for byte in range(256)}
    splits = {word: [word[i : i + 1] for i in range(len(word))] for word in words}
    merges = []
    while len(merges) < n_merges:
        counts = Counter()
        for word, parts in splits.items():
            for left, right in zip(parts, parts[1:], strict=False):
                if is_allowed(left + right):
                    counts[left, right] += words[word]
        if not counts:
            break
        left, right = min(counts, key=lambda p: (-counts[p], id_of[p[0]], id_of[p[1]]))
        for parts in splits.values():
            i = 0
            while i < len(parts) - 1:
                if parts[i] == left and parts[i + 1] == right:
                    parts[i : i + 2] = [left + right]
                i += 1
        merges.append((id_of[left], id_of[right]))
        id_of[left + right] = 256 + len(merges) - 1
    return merges
