"""How text without special tokens becomes ids under a vocabulary: by merges, or by characters.

A vocabulary knows the bytes of each of its ids; the `Tokenizer` on top adds the special tokens.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import regex
import tiktoken

from groundup.tokenizer.bpe import Merges, merge


@runtime_checkable
class Vocabulary(Protocol):
    """What a tokenizer needs of its vocabulary."""

    tokens: dict[int, bytes]
    """The bytes of each id."""

    def encode(self, text: str) -> list[int]: ...
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...


class MergeVocabulary:
    """Byte-pair encoding: cut by `pattern`, then join pairs, the earliest-learned merge first.

    tiktoken does the work (in Rust), with our merges as its ranks: that is the same encoding
    whenever a token is made by one merge only. `encode_simply` is the definition.
    """

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

    def encode(self, text: str) -> list[int]:
        return self._ids(self.fast.encode_ordinary(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._ids(ranks) for ranks in self.fast.encode_ordinary_batch(list(texts))]

    def _ids(self, ranks: list[int]) -> list[int]:
        return ranks if self.same else [self.id_of_rank[rank] for rank in ranks]

    def encode_simply(self, text: str) -> list[int]:
        """The encoding, word by word and merge by merge: to read, and to test `encode` against."""
        rank = {pair: i for i, pair in enumerate(self.merges)}
        ids: list[int] = []
        for word in regex.findall(self.pattern, text):
            parts = [self.ids[bytes([byte])] for byte in word.encode()]
            while known := [pair for pair in zip(parts, parts[1:], strict=False) if pair in rank]:
                pair = min(known, key=rank.__getitem__)
                joined = self.ids[self.tokens[pair[0]] + self.tokens[pair[1]]]
                parts = merge(parts, pair, joined)
            ids += parts
        return ids


class CharacterVocabulary:
    """One id for each character: the simplest tokenizer, for teaching and small corpora.

    A character that the vocabulary has not gets the id of U+FFFD, "unknown"."""

    UNKNOWN = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, characters: Sequence[str]):
        self.tokens = {id_: character.encode() for id_, character in enumerate(characters)}
        self.ids = {character: id_ for id_, character in enumerate(characters)}

    def encode(self, text: str) -> list[int]:
        unknown = self.ids[self.UNKNOWN]
        return [self.ids.get(character, unknown) for character in text]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]
