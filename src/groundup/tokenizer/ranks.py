"""Rank files: the vocabularies that `tiktoken` runs, published as lines of base64 and a rank.

tiktoken joins, again and again, the two neighbours whose joint bytes have the lowest rank, and takes
a word that is a token at once. The file has no pattern for where words begin and end; that is in the
code published with each model. So a file is recognised by what no two of them share, the number of
its ranks, and gets the pattern and the special tokens published for it.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import tiktoken

from groundup.errors import CorruptFileError, InputError
from groundup.tokenizer.bpe import Merges
from groundup.tokenizer.spelling import GPT2_PATTERN
from groundup.tokenizer.vocabulary import word_cut

_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
LLAMA3_PATTERN = _WORDS + r"|\p{N}{1,3}" + _TAIL
QWEN_PATTERN = _WORDS + r"|\p{N}" + _TAIL
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O_PATTERN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SHORT}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SHORT}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Published:
    """What goes with a rank file, from the code published with it."""

    name: str
    pattern: str
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    begin: str | None = None
    """The token that begins every prompt."""


def _in_a_row(first: int, names: Sequence[str]) -> dict[str, int]:
    return {name: first + i for i, name in enumerate(names)}


def _llama3_special_tokens() -> dict[str, int]:
    named = ["begin_of_text", "end_of_text", *(f"reserved_special_token_{i}" for i in range(4)),
             "start_header_id", "end_header_id", "reserved_special_token_4", "eot_id"]  # fmt: skip
    rest = [f"reserved_special_token_{i}" for i in range(5, 251)]
    return _in_a_row(128_000, [f"<|{name}|>" for name in [*named, *rest]])


_GPT4_SPECIAL_TOKENS = {
    "<|endoftext|>": 100_257, "<|fim_prefix|>": 100_258, "<|fim_middle|>": 100_259,
    "<|fim_suffix|>": 100_260, "<|endofprompt|>": 100_276,
}  # fmt: skip
PUBLISHED = {
    # openai/tiktoken, tiktoken_ext/openai_public.py
    50_256: Published("r50k_base", GPT2_PATTERN, {"<|endoftext|>": 50_256}),
    50_280: Published("p50k_base", GPT2_PATTERN, {"<|endoftext|>": 50_256}),
    100_256: Published("cl100k_base", LLAMA3_PATTERN, _GPT4_SPECIAL_TOKENS),
    199_998: Published(
        "o200k_base", GPT4O_PATTERN, {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018}
    ),
    # meta-llama/llama3, llama/tokenizer.py
    128_000: Published("Llama 3", LLAMA3_PATTERN, _llama3_special_tokens(), "<|begin_of_text|>"),
    # Qwen/Qwen-7B, tokenization_qwen.py
    151_643: Published(
        "Qwen", QWEN_PATTERN,
        _in_a_row(151_643, ["<|endoftext|>", "<|im_start|>", "<|im_end|>",
                            *(f"<|extra_{i}|>" for i in range(205))]),
    ),
}  # fmt: skip


class RankVocabulary:
    """Byte-pair encoding with the ranks as ids, as tiktoken does it."""

    prefix, begins_anew = b"", False

    def __init__(self, ranks: Mapping[bytes, int], pattern: str):
        """`ranks`: the id of each token's bytes; `pattern`: where words begin and end."""
        self.tokens = {id_: token for token, id_ in ranks.items()}
        self.pattern = pattern
        self.run = tiktoken.Encoding(
            "groundup", pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens={}
        )

    def encode(self, text: str, begins: bool = True) -> list[int]:
        return self.run.encode_ordinary(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return self.run.encode_ordinary_batch(list(texts))

    def cut(self, text: str) -> int:
        return word_cut(text)

    def identity(self) -> bytes:
        return repr((self.pattern, sorted(self.tokens.items()))).encode()

    @cached_property
    def merges(self) -> Merges:
        """The pair of tokens that each token is made of, by rank: its bytes encoded with the lower
        ranks. A token that those do not bring to two parts is never made by joining, and has none."""
        ranks = {token: id_ for id_, token in self.tokens.items()}
        merges: Merges = []
        for id_, token in sorted(self.tokens.items()):
            if len(token) > 1:
                parts = _joined(token, ranks, id_)
                if len(parts) == 2:
                    merges.append((ranks[parts[0]], ranks[parts[1]]))
        return merges


def _joined(token: bytes, ranks: Mapping[bytes, int], below: int) -> list[bytes]:
    """The parts of `token` after all joins of a rank lower than `below`."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 1:
        rank, at = min(
            (ranks.get(parts[i] + parts[i + 1], below), i) for i in range(len(parts) - 1)
        )
        if rank >= below:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def is_rank_file(content: bytes) -> bool:
    """Whether a file's content is lines of base64 and a number, and not a SentencePiece model."""
    token, _, rank = content[: content.find(b"\n")].partition(b" ")
    return bool(token) and rank.strip().isdigit()


def read_ranks(content: bytes, where: str) -> tuple[RankVocabulary, Published]:
    """The vocabulary of a rank file, and what was published with it."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if line:
            try:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
            except (ValueError, binascii.Error):
                raise CorruptFileError(
                    "not a base64 token and its rank", f"{where}, line {number}", "copy it again"
                ) from None
    published = PUBLISHED.get(len(ranks))
    if published is None:
        known = ", ".join(f"{kind.name} ({count})" for count, kind in PUBLISHED.items())
        raise InputError(
            f"{len(ranks)} ranks are those of no known vocabulary, so where words end is not known",
            where, f"known: {known}; or copy the whole file again, or use a tokenizer.json",
        )  # fmt: skip
    if len(set(ranks.values())) < len(ranks):
        raise CorruptFileError("two tokens have the same rank", where, "copy the file again")
    return RankVocabulary(ranks, published.pattern), published
