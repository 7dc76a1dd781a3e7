"""How text without special tokens becomes ids under a vocabulary: by merges, or by characters.

A vocabulary knows the bytes of each of its ids; the `Tokenizer` on top adds the special tokens.
Those of other people's models that work differently are run by the library they were made with:
`library.py` (tokenizers), `sentence_piece.py` (sentencepiece), `ranks.py` (tiktoken).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import regex
import tiktoken

from groundup.sources.read import split_point
from groundup.tokenizer.bpe import Merges, Pair, encode_word
from groundup.tokenizer.words import SPLIT_PATTERN


@runtime_checkable
class Vocabulary(Protocol):
    """What a tokenizer needs of its vocabulary."""

    tokens: dict[int, bytes]
    """The bytes of each id, in the middle of a text."""
    prefix: bytes
    """What encoding puts before a text and decoding takes away again: SentencePiece's space; for
    most vocabularies nothing."""
    begins_anew: bool
    """Whether the text after a special token gets the prefix too."""

    def encode(self, text: str, begins: bool = True) -> list[int]:
        """The ids of `text`, which begins a text or else goes on with one (without a prefix)."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of several texts, all of which begin."""
        ...

    def cut(self, text: str) -> int:
        """The last place where `text` may be cut and both parts be encoded apart; 0 for none."""
        ...


@runtime_checkable
class LoadedVocabulary(Vocabulary, Protocol):
    """One of somebody else's model, kept as the files it came in."""

    def identity(self) -> bytes:
        """The same for the same vocabulary, and for no other."""
        ...


_WORD_CUT = regex.compile(r"(?r)\S(?= \S)|\S\n(?=\S)")
_CROSSES = regex.compile(rb"\S |\n\S")


def word_cut(text: str) -> int:
    """The last place before a word: no pattern in use joins a letter to the space or the single line
    end that follows it."""
    match = _WORD_CUT.search(text)
    return match.end() if match else 0


def keeps_to_words(tokens: dict[int, bytes]) -> bool:
    """True if no token reaches over the places of `word_cut`, so that merges cannot either."""
    return not any(_CROSSES.search(token) for token in tokens.values())


class MergeVocabulary:
    """Byte-pair encoding: cut by `pattern`, then join pairs, the earliest-learned merge first.

    tiktoken does the work (in Rust), with our merges as its ranks: that is the same encoding
    whenever a token is made by one merge only. `encode_simply` is the definition.
    """

    prefix, begins_anew = b"", False

    def __init__(self, tokens: dict[int, bytes], merges: Merges, pattern: str):
        """`tokens`: the bytes of each id, all 256 single bytes among them; `merges`: pairs of ids,
        the earliest first; `pattern`: where words begin and end."""
        self.tokens, self.merges, self.pattern = tokens, merges, pattern
        self.ids = {token: id_ for id_, token in tokens.items()}
        rank = {tokens[id_]: id_ for id_ in tokens if len(tokens[id_]) == 1}
        ranked = [*sorted(rank, key=rank.__getitem__), *(tokens[a] + tokens[b] for a, b in merges)]
        self.id_of_rank = [self.ids[token] for token in ranked]
        self.same = self.id_of_rank == list(range(len(ranked)))
        self.fast = tiktoken.Encoding(
            "groundup",
            pat_str=pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(ranked)},
            special_tokens={},
        )

    def encode(self, text: str, begins: bool = True) -> list[int]:
        return self._ids(self.fast.encode_ordinary(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._ids(ranks) for ranks in self.fast.encode_ordinary_batch(list(texts))]

    def cut(self, text: str) -> int:
        return split_point(text) if self.pattern == SPLIT_PATTERN else word_cut(text)

    def _ids(self, ranks: list[int]) -> list[int]:
        return ranks if self.same else [self.id_of_rank[rank] for rank in ranks]

    def encode_simply(self, text: str) -> list[int]:
        """The encoding, word by word and merge by merge: to read, and to test `encode` against."""
        words = regex.findall(self.pattern, text)
        return [id_ for word in words for id_ in self.encode_word(word)]

    def encode_word(self, word: str) -> list[int]:
        """The ids of what `pattern` has found."""
        byte_ranks, merge_ranks = self.ranks
        return self._ids(encode_word([byte_ranks[byte] for byte in word.encode()], merge_ranks))

    @cached_property
    def ranks(self) -> tuple[list[int], dict[Pair, int]]:
        """The rank of each byte, and, by the ranks of its two parts, that of each merge's token."""
        rank = {id_: rank for rank, id_ in enumerate(self.id_of_rank)}
        of_bytes = [rank[self.ids[bytes([byte])]] for byte in range(256)]
        return of_bytes, {(rank[a], rank[b]): 256 + i for i, (a, b) in enumerate(self.merges)}


class CharacterVocabulary:
    """One id for each character: the simplest tokenizer, for teaching and small corpora.

    A character that the vocabulary has not gets the id of U+FFFD, "unknown"."""

    UNKNOWN = "\N{REPLACEMENT CHARACTER}"
    prefix, begins_anew = b"", False

    def __init__(self, characters: Sequence[str]):
        self.tokens = {id_: character.encode() for id_, character in enumerate(characters)}
        self.ids = {character: id_ for id_, character in enumerate(characters)}

    def encode(self, text: str, begins: bool = True) -> list[int]:
        unknown = self.ids[self.UNKNOWN]
        return [self.ids.get(character, unknown) for character in text]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def cut(self, text: str) -> int:
        return split_point(text)
