import regex


def count_words_in(texts, pattern, special_tokens):
    counts = {}
    for text in texts:
        parts = [text]
        for token in special_tokens:
            parts = [piece for part in parts for piece in part.split(token)]
        for part in parts:
            for match in regex.finditer(pattern, part):
                word = match.group()
                counts[word] = counts.get(word, 0) + 1
    return counts
