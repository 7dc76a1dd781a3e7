from collections import Counter
from itertools import chain

import regex


def count_words_in(texts, pattern, special_tokens):
    if special_tokens:
        separator = "|".join(regex.escape(token) for token in special_tokens)
        texts = chain.from_iterable(regex.split(separator, text) for text in texts)
    return Counter(word for text in texts for word in regex.findall(pattern, text))
