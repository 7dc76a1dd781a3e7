"""Words added to a vocabulary: text that has an id of its own wherever it stands."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from os.path import commonprefix

import regex

from groundup.tokenizer.vocabulary import Vocabulary, keeps_to_words

_LINE_CUT = regex.compile(r"(?r)\S\n(?=\S)")


class AddedWords:
    """A vocabulary, and words that are found before its own rules see a text: from left to right, of
    words that begin at one place the longest. What stands between them is encoded as ever, so a text
    without these words has the ids that it had.

    They are what the `tokenizers` library calls added tokens that are not special (`normalized` and
    `single_word` false): text like any other, also in what users write.
    """

    def __init__(self, base: Vocabulary, words: Mapping[str, int]):
        """`words` gives each word its id, which `base` has not."""
        self.base, self.words = base, dict(words)
        self.tokens = base.tokens | {id_: word.encode() for word, id_ in words.items()}
        self.prefix, self.begins_anew = base.prefix, base.begins_anew
        self.pattern = longest_of(words)
        self.end_in_words = keeps_to_words({id_: word.encode() for word, id_ in words.items()})

    def encode(self, text: str, begins: bool = True) -> list[int]:
        ids: list[int] = []
        end = 0
        for match in self.pattern.finditer(text):
            if match.start() > end:
                ids += self.base.encode(text[end : match.start()], begins)
            ids.append(self.words[match[0]])
            end, begins = match.end(), self.begins_anew
        return ids + self.base.encode(text[end:], begins) if end < len(text) else ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        if any(map(self.pattern.search, texts)):
            return [self.encode(text) for text in texts]
        return self.base.encode_batch(texts)

    def cut(self, text: str) -> int:
        if self.end_in_words or not self.base.cut("a\nb"):
            return self.base.cut(text)
        match = _LINE_CUT.search(text)  # a word may reach over spaces, none over a line
        return match.end() if match else 0


def apart(vocabulary: Vocabulary) -> tuple[Vocabulary, dict[str, int]]:
    """A vocabulary without the words that were added to it, and those."""
    if isinstance(vocabulary, AddedWords):
        return vocabulary.base, vocabulary.words
    return vocabulary, {}


def longest_of(words: Iterable[str]) -> re.Pattern[str]:
    """What finds the longest of `words` that begins at a place. Words with the same beginning share
    it, so that a place is left at its first character that leads nowhere."""
    return re.compile(_alternatives(sorted(words)))


def _alternatives(words: list[str]) -> str:
    shared = commonprefix(words)
    rests = [word[len(shared) :] for word in words]
    groups = groupby(filter(None, rests), key=lambda rest: rest[0])
    longer = "|".join(_alternatives(list(group)) for _, group in groups)
    if not longer:
        return re.escape(shared)
    return f"{re.escape(shared)}(?:{longer}){'?' if '' in rests else ''}"
