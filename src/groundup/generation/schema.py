"""Answers that are JSON of a given form: before each token, those that would break the form are ruled out.

What may come next is worked out by llguidance, a parser of bytes that knows which tokens begin with which
(the same that vLLM, SGLang and llama.cpp use).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from llguidance import LLMatcher, LLTokenizer
from llguidance import TokenizerWrapper as Wrapper
from torch import Tensor

from groundup.errors import InputError
from groundup.tokenizer.tokenizer import Tokenizer

# As Python writes JSON, and most text that models have read; free spaces would let a small model fill
# its answer with them.
SPACES = {
    "x-guidance": {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
}


class Grammars:
    """Makes constraints for the answers of a model with `vocab_size` tokens."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int):
        self.vocab_size = vocab_size
        self.tokens = LLTokenizer(Wrapper(_Vocabulary(tokenizer)), n_vocab=vocab_size, slices=[])

    def json_schema(self, schema: Mapping[str, Any], where: str = "schema") -> "Matching":
        """For one answer that is JSON of this schema.

        Raises `InputError` where the schema is none, or uses what cannot be followed."""
        return self.grammar(f"start: {json_rule(schema)}", where)

    def grammar(self, lark: str, where: str = "grammar") -> "Matching":
        """For one answer of this grammar, in llguidance's form of Lark."""
        matcher = LLMatcher(self.tokens, LLMatcher.grammar_from_lark(lark), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0].rpartition("JSON schema: ")[2]
            raise InputError(
                f"the JSON schema cannot be followed: {reason}",
                where, "use type, properties, required, items, enum and the like",
            )  # fmt: skip
        return Matching(matcher, self.vocab_size)


def json_rule(schema: Mapping[str, Any]) -> str:
    """JSON of this schema as a part of a grammar."""
    return f"%json {json.dumps({**schema, **SPACES})}"


def read_schema(path: str) -> dict[str, Any]:
    """A JSON schema from a file. Raises `InputError` where there is none."""
    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read this file: {error.strerror}", path, "check the path"
        ) from None
    except ValueError as error:
        raise InputError(f"not valid JSON ({error})", path, "write a JSON schema") from None
    if not isinstance(schema, dict):
        raise InputError("a JSON schema is an object", path, 'begin with {"type": …}')
    return schema


class Matching:
    """What may come next in one answer: a `groundup.generation.scheduler.Constraint`."""

    def __init__(self, matcher: LLMatcher, vocab_size: int):
        self.matcher, self.vocab_size = matcher, vocab_size

    @property
    def allowed(self) -> Bool[Tensor, " vocab"]:
        bias = torch.frombuffer(bytearray(self.matcher.compute_logit_bias()), dtype=torch.uint8)
        return bias[: self.vocab_size] > 0

    @property
    def is_over(self) -> bool:
        return self.matcher.is_stopped()

    def accept(self, token: int) -> bool:
        return self.matcher.consume_token(token)


class _Vocabulary:
    """A tokenizer as llguidance wants to see it."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.special_token_ids = sorted(tokenizer.special_tokens.values())
        self.tokens = [tokenizer.known_bytes(token) for token in range(tokenizer.vocab_size)]
        ends = sorted(tokenizer.end_ids)
        self.eos_token_id = ends[0] if ends else self.special_token_ids[0]
        self.bos_token_id = None

    def __call__(self, text: bytes) -> list[int]:
        return self.tokenizer.encode(text.decode("utf-8", "replace"))
