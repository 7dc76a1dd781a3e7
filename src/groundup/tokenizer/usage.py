"""How texts use a vocabulary: which ids, how often, and how many bytes each stands for."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from groundup.errors import InputError
from groundup.tokenizer.tokenizer import Tokenizer


@dataclass
class Usage:
    """What texts are under a tokenizer."""

    times: Counter[int] = field(default_factory=Counter)
    """How often each id occurs."""
    bytes: int = 0
    """The size of the texts in UTF-8."""

    @property
    def tokens(self) -> int:
        return self.times.total()

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens


def usage(tokenizer: Tokenizer, texts: Iterable[str]) -> Usage:
    """How `texts` use the vocabulary of `tokenizer`. Raises `InputError` where they are empty."""
    found = Usage()
    for text in texts:
        found.times.update(tokenizer.encode(text))
        found.bytes += len(text.encode("utf-8", "replace"))
    if not found.bytes:
        raise InputError("there is no text", None, "check the files")
    return found
