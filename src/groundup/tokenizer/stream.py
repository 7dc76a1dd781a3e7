"""Ids to text, one by one."""

from collections.abc import Callable


class StreamDecoder:
    """Decodes id by id and never gives out half a character."""

    def __init__(self, token_bytes: Callable[[int], bytes], prefix: bytes = b""):
        """`token_bytes` gives the bytes of an id; `prefix` is left out where the text begins with
        it."""
        self.token_bytes, self.prefix = token_bytes, prefix
        self.held = b""

    def feed(self, id_: int) -> str:
        """The text that is certain after this id, perhaps none yet."""
        self.held += self.token_bytes(id_)
        if self.prefix and self.held:
            self.held, self.prefix = self.held.removeprefix(self.prefix), b""
        ready = len(self.held) - _unfinished(self.held)
        text, self.held = self.held[:ready].decode("utf-8", errors="replace"), self.held[ready:]
        return text

    def flush(self) -> str:
        """What was held back; call it after the last id."""
        text, self.held = self.held.decode("utf-8", errors="replace"), b""
        return text


def _unfinished(data: bytes) -> int:
    """How many bytes at the end of `data` begin a UTF-8 character without ending it."""
    for length in range(1, min(3, len(data)) + 1):
        first = data[-length]
        if first >= 0xC0:
            size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return length if length < size else 0
        if first < 0x80:
            return 0
    return 0
