from collections import Counter

import regex


def count_words_in(texts, pattern, special_tokens):
    def count(text):
        found = min((at for at in (text.find(t) for t in special_tokens) if at >= 0), default=None)
        if found is None:
            return Counter(regex.findall(pattern, text))
        token = max((t for t in special_tokens if text.startswith(t, found)), key=len)
        return count(text[:found]) + count(text[found + len(token) :])

    return sum(map(count, texts), Counter())
